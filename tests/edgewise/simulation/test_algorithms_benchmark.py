"""When the comparison of algorithms has a target reached, what it needs, and what its page says of its grids."""

from __future__ import annotations

import importlib.util
import math
import re
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
    assert algorithms.grid(task, "fedprox", 2.0) == {"learning_rate": (2.0,), "mu": algorithms.MU}
    assert algorithms.grid(task, "scaffold", 2.0) == {"learning_rate": task.rates}
    assert set(algorithms.grid(task, "fedadam", 2.0)) == {"learning_rate", "server_learning_rate"}


@pytest.mark.parametrize(
    ("begin", "best", "grid"),
    [
        ((0.1, 0.3, 1.0), 0.3, (0.1, 0.3, 1.0)),
        ((0.1, 0.3), 3.0, (0.1, 0.3, 1.0, 3.0, 10.0)),
        ((0.1, 0.3), 0.01, (0.003, 0.01, 0.03, 0.1, 0.3)),
        ((2.0, 4.0), 8.0, (2.0, 4.0, 8.0, 16.0)),
        ((2.0, 4.0), 1.0, (0.5, 1.0, 2.0, 4.0)),
    ],
)
def test_a_grid_goes_on_until_the_best_rate_has_a_worse_one_on_each_side(
    algorithms: ModuleType, begin: tuple[float, ...], best: float, grid: tuple[float, ...]
) -> None:
    tried: list[float] = []

    def score(settings: list[dict[str, float]]) -> list[float]:
        tried.extend(one["learning_rate"] for one in settings)
        return [-abs(math.log(one["learning_rate"] / best)) for one in settings]

    assert algorithms.tuned({"learning_rate": begin}, score) == ({"learning_rate": best}, {"learning_rate": grid})
    assert sorted(tried) == list(grid)  # none of them twice


def test_two_rates_are_chosen_together_and_a_grid_has_an_end(algorithms: ModuleType) -> None:
    begin = {"learning_rate": (0.1, 0.3), "server_learning_rate": (0.01, 0.03)}
    found, axes = algorithms.tuned(begin, lambda tried: [sum(one.values()) for one in tried])
    assert all(len(axes[name]) == len(begin[name]) + algorithms.FURTHER for name in begin)
    assert found == {name: rates[-1] for name, rates in axes.items()}
    found, axes = algorithms.tuned({"learning_rate": (1.0,), "mu": (0.01, 0.1)}, lambda tried: [1.0] * len(tried))
    assert axes == {"learning_rate": (1.0,), "mu": (0.01, 0.1)}


def test_without_scikit_learn_digits_are_refused_in_a_sentence_before_anything_is_made(
    algorithms: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(sys, "argv", ["algorithms.py", "--task", "words", "linear-1", "--dir", str(tmp_path / "new")])
    with pytest.raises(SystemExit) as ended:
        algorithms.main()
    assert ended.value.code == 2
    assert "--task linear-1: expected scikit-learn" in (told := capsys.readouterr().err.splitlines()[-1])
    assert ".[examples]" in told
    assert not (tmp_path / "new").exists()


def test_no_rate_of_the_pages_table_lies_at_an_end_of_its_grid(algorithms: ModuleType) -> None:
    page = (BENCHMARKS.parent / "docs/algorithms.md").read_text("utf-8")
    for name in algorithms.TASKS:
        results = page.partition(f"\n{name}: rounds until")[2].partition("\n\n")[0]
        rows = re.findall(r"^(\w+) .*  learning_rate (.*)", results, re.M)
        assert [algorithm for algorithm, _ in rows] == list(algorithms.ALGORITHMS)
        for algorithm, told in rows:
            rates = re.findall(r"(?:^|server_learning_rate )([\d.]+) of ([\d./]+)", told)
            assert len(rates) == 1 + (algorithm == "fedadam")
            for chosen, grid in rates:
                between = grid.split("/")
                assert chosen in between[1:-1] or between == [chosen]  # FedProx has FedAvg's
