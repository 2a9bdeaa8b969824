"""When the comparison of algorithms says that a target was reached."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"


@pytest.fixture
def algorithms(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    sys.modules.pop("algorithms", None)
    import algorithms  # type: ignore[import-not-found]

    return algorithms


def test_one_lucky_round_reaches_no_target(algorithms: ModuleType) -> None:
    curve = [0.1, 0.1, 0.95, 0.1, 0.1, 0.8, 0.9, 0.9, 0.9, 0.9, 0.9]
    assert algorithms.reached(curve, 0.85) == 5  # the mean of rounds 5 to 9 is 0.88, that of 4 to 8 is 0.72
    assert algorithms.reached(curve, 0.95) is None


def test_a_run_that_diverged_is_worth_nothing_from_there_on(algorithms: ModuleType) -> None:
    task = algorithms.TASKS["linear-10"]
    found = algorithms.whole([0.1, 0.5], task)
    assert len(found) == task.rounds + 1
    assert found[:3] == [0.1, 0.5, 0.0]
    assert algorithms.whole([0.3] * 500, task) == [0.3] * (task.rounds + 1)


def test_fedprox_is_tuned_at_fedavgs_rate_and_the_others_at_their_own(algorithms: ModuleType) -> None:
    task = algorithms.TASKS["words"]
    assert {one["learning_rate"] for one in algorithms.grid(task, "fedprox", 2.0)} == {2.0}
    assert len(algorithms.grid(task, "scaffold", 2.0)) == len(task.rates)
    assert len(algorithms.grid(task, "fedadam", 2.0)) == 2 * len(task.server_rates)
