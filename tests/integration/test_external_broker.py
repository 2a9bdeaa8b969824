"""Whole rounds on one more broker, named by its url in EDGEWISE_TEST_BROKER (`scripts/test-rabbitmq` sets it)."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgewise_coordinator.faults import FaultPoint
from fault_rig import DEVICES, ROUNDS, SAID, Outcome, Rig, after_chunks
from proxy import MqttProxy, NetworkFaults
from tests.support.broker_fixtures import EXTERNAL, make_mosquitto

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not EXTERNAL, reason="no further broker named in EDGEWISE_TEST_BROKER"),
]


@pytest.fixture(scope="module")
def on_mosquitto(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    folder = tmp_path_factory.mktemp("peace")
    with make_mosquitto(folder / "broker") as broker:
        return Rig(broker.url, folder).run()


def check(outcome: Outcome, on_mosquitto: Outcome) -> None:
    assert (outcome.committed, outcome.lost, outcome.doubled, outcome.refused) == (ROUNDS, 0, 0, 0)
    assert outcome.acknowledged == len(DEVICES) * (2 * ROUNDS + 1)
    assert outcome.same_bits(on_mosquitto)


def test_rounds_on_it_end_in_the_bits_of_mosquitto(tmp_path: Path, on_mosquitto: Outcome) -> None:
    check(Rig(EXTERNAL, tmp_path).run(), on_mosquitto)


@pytest.mark.parametrize("point", [FaultPoint.AFTER_SPOOL_WRITE, FaultPoint.AFTER_FOLD, FaultPoint.AFTER_COMMIT])
def test_a_killed_coordinator_comes_back_on_it(point: FaultPoint, tmp_path: Path, on_mosquitto: Outcome) -> None:
    check(Rig(EXTERNAL, tmp_path / "kill").kill(point, 2), on_mosquitto)


def test_a_restarted_coordinator_calls_those_who_are_there_and_say_nothing(
    tmp_path: Path, on_mosquitto: Outcome
) -> None:
    """The devices do not speak first: who is not told of by a retained presence must be called by name."""
    outcome = Rig(EXTERNAL, tmp_path, silent_after_kill=True).kill(FaultPoint.AFTER_COMMIT, 2, SAID)
    check(outcome, on_mosquitto)
    assert "called 3 devices by name" in outcome.log


def test_links_to_it_that_break_delay_double_and_reorder(tmp_path: Path, on_mosquitto: Outcome) -> None:
    with MqttProxy(EXTERNAL, seed=5) as proxy:
        proxy.faults = NetworkFaults(delay=0.01, duplicate=0.2, reorder=0.2)
        check(Rig(proxy.url, tmp_path).run(disturb=after_chunks(6, proxy.cut)), on_mosquitto)
