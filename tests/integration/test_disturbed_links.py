"""Brokers killed, links cut, messages delayed, doubled and reordered: the same bits as in peace, nothing lost."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from edgewise.brokers.embedded import EmbeddedBroker
from edgewise.brokers.process import BrokerProcess
from fault_rig import DEVICES, ROUNDS, Outcome, Rig, after_chunks
from proxy import MqttProxy, NetworkFaults
from tests.support.broker_fixtures import make_mosquitto

pytestmark = pytest.mark.integration
KEEPALIVE = 2


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    folder = tmp_path_factory.mktemp("peace")
    with make_mosquitto(folder / "broker") as broker:
        return Rig(broker.url, folder).run()


def check(outcome: Outcome, undisturbed: Outcome) -> None:
    assert outcome.committed == ROUNDS
    assert outcome.acknowledged == len(DEVICES) * (2 * ROUNDS + 1)
    assert (outcome.lost, outcome.doubled, outcome.refused) == (0, 0, 0)
    assert outcome.same_bits(undisturbed)


def mosquitto(folder: Path) -> BrokerProcess:
    return make_mosquitto(folder / "broker")


def embedded(folder: Path) -> BrokerProcess:
    return EmbeddedBroker(log=folder / "broker.log")


@pytest.mark.parametrize("make", [mosquitto, embedded])
def test_a_broker_killed_in_the_middle_of_uploads(
    make: Callable[[Path], BrokerProcess], tmp_path: Path, undisturbed: Outcome
) -> None:
    with make(tmp_path) as broker:

        def kill() -> None:
            broker.kill()
            threading.Timer(1.0, broker.start).start()

        check(Rig(broker.url, tmp_path).run(disturb=after_chunks(5, kill)), undisturbed)


def test_a_link_cut_for_longer_than_the_keep_alive(tmp_path: Path, undisturbed: Outcome) -> None:
    with mosquitto(tmp_path) as broker, MqttProxy(broker.url) as proxy:

        def swallow() -> None:
            proxy.black_hole = True  # no reset, no answer: both ends have to find out by themselves
            threading.Timer(2.5 * KEEPALIVE, end).start()

        def end() -> None:
            proxy.black_hole = False

        outcome = Rig(proxy.url, tmp_path, keepalive=KEEPALIVE).run(disturb=after_chunks(5, swallow))
        check(outcome, undisturbed)
        assert proxy.connections > len(DEVICES) + 1


def test_links_reset_again_and_again(tmp_path: Path, undisturbed: Outcome) -> None:
    with mosquitto(tmp_path) as broker, MqttProxy(broker.url) as proxy:
        cuts = [after_chunks(count, proxy.cut) for count in (2, 7, 11)]
        outcome = Rig(proxy.url, tmp_path).run(disturb=lambda devices: [cut(devices) for cut in cuts] and None)
        check(outcome, undisturbed)


@pytest.mark.parametrize("seed", range(3))
def test_messages_delayed_doubled_and_reordered(seed: int, tmp_path: Path, undisturbed: Outcome) -> None:
    with mosquitto(tmp_path) as broker, MqttProxy(broker.url, seed=seed) as proxy:
        proxy.faults = NetworkFaults(delay=0.02, duplicate=0.2, reorder=0.2)
        check(Rig(proxy.url, tmp_path).run(), undisturbed)
