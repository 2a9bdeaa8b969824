"""Whole runs behind the limits of hosted brokers, on brokers that forget, and with queues that lose silently."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgewise.brokers.process import BrokerProcess
from edgewise_wire.transport.base import Message
from edgewise_wire.transport.mqtt import MqttTransport
from fault_rig import DEVICES, ROUNDS, Outcome, Rig, RigDevice
from proxy import AWS_IOT_CORE, MqttProxy
from tests.support.broker_fixtures import make_mosquitto

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    folder = tmp_path_factory.mktemp("peace")
    with make_mosquitto(folder / "broker") as broker:
        return Rig(broker.url, folder).run()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[BrokerProcess]:
    with make_mosquitto(tmp_path / "broker") as process:
        yield process


def check(outcome: Outcome, undisturbed: Outcome) -> None:
    assert (outcome.committed, outcome.lost, outcome.doubled, outcome.refused) == (ROUNDS, 0, 0, 0)
    assert outcome.acknowledged == len(DEVICES) * (2 * ROUNDS + 1)
    assert outcome.same_bits(undisturbed)


AWS = "?publishes=100&bytes=524288"


@pytest.mark.parametrize("connections", [1, 3])
def test_behind_the_limits_of_aws_iot_core(
    connections: int, broker: BrokerProcess, tmp_path: Path, undisturbed: Outcome
) -> None:
    with MqttProxy(broker.url) as proxy:
        proxy.limits = AWS_IOT_CORE
        check(Rig(proxy.url + AWS, tmp_path, connections=connections).run(), undisturbed)
        assert proxy.offences == []
        assert 120_000 < proxy.seen["up"].largest <= AWS_IOT_CORE.packet_bytes


def test_a_broker_that_forgets_what_it_kept(broker: BrokerProcess, tmp_path: Path, undisturbed: Outcome) -> None:
    done = threading.Event()

    def forget(devices: list[RigDevice]) -> None:
        # While devices fetch the weights: what they have not got yet is gone, and so is every presence.
        if not done.is_set() and any(d.assignment is not None for d in devices):
            done.set()
            broker.kill()
            broker.start()

    check(Rig(broker.url, tmp_path).run(disturb=forget), undisturbed)
    assert done.is_set()


def test_a_queue_that_loses_silently(tmp_path: Path, undisturbed: Outcome) -> None:
    """Mosquitto drops what is beyond its queue and says nothing; here the queue is far too short for three uploads."""
    limits = ["max_inflight_messages 1", "max_queued_messages 3", "sys_interval 1"]
    with make_mosquitto(tmp_path / "broker", extra=limits) as broker:
        watch = MqttTransport(broker.url, "watch")
        watch.subscribe("$SYS/broker/publish/messages/dropped")
        watch.connect()
        check(Rig(broker.url, tmp_path).run(), undisturbed)
        time.sleep(1.1)  # $SYS is told once a second
        told = []
        while (event := watch.poll(0.0)) is not None:
            told += [int(event.payload)] if isinstance(event, Message) else []
        watch.close()
        assert told[-1] > 0
