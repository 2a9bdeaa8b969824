"""Aggregators as real processes and as Ray actors, over Mosquitto: killed by SIGKILL, they end in the bits of none."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgewise_coordinator.faults import FaultPoint
from fault_rig import DEVICES, ROUNDS, Outcome, Rig, after_chunks
from tests.support.broker_fixtures import BrokerUnderTest, make_mosquitto

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerUnderTest]:
    with make_mosquitto(tmp_path_factory.mktemp("broker")) as found:
        yield found


@pytest.fixture(scope="module")
def alone(broker: BrokerUnderTest, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return Rig(broker.url, tmp_path_factory.mktemp("alone")).run()


def check(outcome: Outcome, alone: Outcome) -> None:
    assert (outcome.committed, outcome.lost, outcome.doubled, outcome.refused) == (ROUNDS, 0, 0, 0), outcome.log[-2000:]
    assert outcome.acknowledged == len(DEVICES) * (2 * ROUNDS + 1)
    assert outcome.same_bits(alone)


def kill_first(folder: Path) -> Callable[[], None]:
    """End the first aggregator of the run in `folder` as a power cut would."""

    def act() -> None:
        (found,) = folder.glob("*/aggregators.json")
        os.kill(json.loads(found.read_text())["a0"], signal.SIGKILL)

    return act


@pytest.mark.parametrize("fault", ["", "after-spool-write:2", "after-spool-sync:1", "after-fold:1"])
def test_processes_end_in_the_bits_of_one(broker: BrokerUnderTest, alone: Outcome, tmp_path: Path, fault: str) -> None:
    rig = Rig(broker.url, tmp_path, aggregators=2)
    rig.environment["AGGREGATOR_FAULT"] = fault
    outcome = rig.run()
    check(outcome, alone)
    assert ("aggregator a0 is gone (exit code -9)" in outcome.log) == bool(fault)


@pytest.mark.parametrize("point", [FaultPoint.AFTER_REPORT_ROW, FaultPoint.BEFORE_AGGREGATE])
def test_a_killed_coordinator_starts_them_again(
    broker: BrokerUnderTest, alone: Outcome, tmp_path: Path, point: FaultPoint
) -> None:
    check(Rig(broker.url, tmp_path, aggregators=2).kill(point, 2), alone)


def test_ray_starts_a_killed_actor_again_and_ends_in_the_same_bits(
    broker: BrokerUnderTest, alone: Outcome, tmp_path: Path
) -> None:
    pytest.importorskip("ray")
    rig = Rig(broker.url, tmp_path, engine="ray", aggregators=3)
    outcome = rig.run(disturb=after_chunks(6, kill_first(tmp_path)))
    check(outcome, alone)
    assert "aggregator a0 is gone" in outcome.log
