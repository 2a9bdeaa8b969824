"""The coordinator is killed at every named point of a round; everything acknowledged is in the weights, bit for bit."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from edgewise_coordinator.faults import IN_SECURE_ROUNDS, VARIABLE, FaultPoint, hook_from, no_fault
from edgewise_wire.errors import ConfigError
from fault_rig import DEVICES, KILLS, ROUNDS, Outcome, Rig

pytestmark = pytest.mark.integration
SIDE_BY_SIDE = 3  # most of a run is waiting: for processes to start and for devices to speak again
WITH_CONTROL = (FaultPoint.AFTER_FOLD, FaultPoint.AFTER_STATE_FILE, FaultPoint.AFTER_COMMIT)
NAMES = [f"{point.value}-{count}{'-said' if seconds else ''}" for point, count, seconds in KILLS]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, mosquitto_process) -> Iterator[dict[str, Future[Outcome]]]:  # type: ignore[no-untyped-def]
    rig = Rig(mosquitto_process.start().url, tmp_path_factory.mktemp("faults"))
    controlled = Rig(rig.url, tmp_path_factory.mktemp("control-variates"), algorithm="scaffold")
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        started = {"undisturbed": pool.submit(rig.run), "undisturbed scaffold": pool.submit(controlled.run)}
        started |= {name: pool.submit(rig.kill, *kill) for name, kill in zip(NAMES, KILLS, strict=True)}
        started |= {f"{point.value} scaffold": pool.submit(controlled.kill, point, 2) for point in WITH_CONTROL}
        yield started


@pytest.mark.parametrize("name", NAMES)
def test_a_kill_loses_nothing(runs: dict[str, Future[Outcome]], name: str) -> None:
    undisturbed, outcome = runs["undisturbed"].result(), runs[name].result()
    assert undisturbed.acknowledged == len(DEVICES) * (2 * ROUNDS + 1)  # evaluated before, between and after
    assert (outcome.committed, outcome.acknowledged) == (ROUNDS, undisturbed.acknowledged)
    assert (outcome.lost, outcome.doubled, outcome.refused) == (0, 0, 0)
    assert outcome.same_bits(undisturbed)


@pytest.mark.parametrize("point", WITH_CONTROL)
def test_a_kill_loses_no_control_variate(runs: dict[str, Future[Outcome]], point: FaultPoint) -> None:
    undisturbed, outcome = runs["undisturbed scaffold"].result(), runs[f"{point.value} scaffold"].result()
    assert (outcome.committed, outcome.lost, outcome.doubled, outcome.refused) == (ROUNDS, 0, 0, 0)
    assert outcome.same_bits(undisturbed)


def test_every_point_is_killed_at() -> None:
    assert {point for point, _, _ in KILLS} == set(FaultPoint) - IN_SECURE_ROUNDS


def test_no_fault_is_the_default_and_a_wrong_name_is_told_the_right_ones() -> None:
    assert hook_from(None) is hook_from("") is no_fault
    for wrong in ("nowhere", "after-fold:x", "after-fold:1:2:3"):
        with pytest.raises(ConfigError, match=f"{VARIABLE}=.*after-fold"):
            hook_from(wrong)
