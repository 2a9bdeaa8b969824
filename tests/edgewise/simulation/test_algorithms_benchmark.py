"""When the comparison of algorithms has a target reached, what it needs, and what its page says of its grids."""

from __future__ import annotations

import importlib.util
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
    assert {one["learning_rate"] for one in algorithms.grid(task, "fedprox", 2.0)} == {2.0}
    assert len(algorithms.grid(task, "scaffold", 2.0)) == len(task.rates)
    assert len(algorithms.grid(task, "fedadam", 2.0)) == 2 * len(task.server_rates)


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


def test_the_page_says_which_chosen_rates_lie_at_an_end_of_their_grid(algorithms: ModuleType) -> None:
    page = (BENCHMARKS.parent / "docs/algorithms.md").read_text("utf-8")
    for name, task in algorithms.TASKS.items():
        results = page.partition(f"\n{name}: rounds until")[2].partition("\n\n")[0]
        rates = {row[0]: float(row[1]) for row in re.findall(r"^(\w+) .*  learning_rate ([\d.]+)", results, re.M)}
        assert list(rates) == list(algorithms.ALGORITHMS)
        (told,) = re.findall(rf"^\| {name} \| ([^|]*) \| ([^|]*) \|$", page, re.M)
        assert told[0] == ", ".join(f"{rate:g}" for rate in task.rates)
        ends = {
            algorithm for algorithm in ("fedavg", "scaffold") if rates[algorithm] in (task.rates[0], task.rates[-1])
        }
        assert {one for one in ("fedavg", "scaffold") if one in told[1].lower()} == ends
        assert rates["fedprox"] == rates["fedavg"]
        assert rates["fedadam"] == task.rates[-2]  # the higher of its two
