"""`rounds.jsonl` has one line a training round, whatever is killed in between."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from coordinator_scene import Scene
from edgewise_coordinator.history import History

Make = Callable[..., Scene]


def history(s: Scene) -> History:
    return History(s.directory / "rounds.jsonl", s.coordinator.store, s.coordinator.model.is_measured)


def lines(s: Scene) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (s.directory / "rounds.jsonl").read_text().splitlines()]


def finished(scene: Make, **settings: Any) -> Scene:
    s = scene(goal=2, rounds=3, **settings)
    kept = history(s)
    s.coordinator.on_round = kept.add
    s.join("d1", "d2")
    s.run()
    kept.flush()
    return s


def test_line_zero_is_before_training_and_each_round_carries_its_evaluation(scene: Make) -> None:
    s = finished(scene, evaluate_every=1)
    rows = lines(s)
    assert [r["round"] for r in rows] == [0, 1, 2, 3]
    assert [r["version"] for r in rows] == [0, 1, 2, 3]
    assert all(r["top1"] == 0.5 and r["evaluated"] == 2 for r in rows)
    assert all(r["train_loss"] == 2.5 and r["reported"] == 2 for r in rows[1:])
    assert all(r["bytes_up"] > 2 * 481_228 for r in rows[1:])


def test_without_evaluation_there_is_a_line_for_each_round_all_the_same(scene: Make) -> None:
    rows = lines(finished(scene, evaluate_every=0))
    assert [r["round"] for r in rows] == [1, 2, 3]
    assert "top1" not in rows[0]


def test_versions_between_evaluations_have_no_metrics(scene: Make) -> None:
    rows = lines(finished(scene, evaluate_every=2))
    assert [("top1" in r) for r in rows] == [True, False, True, True]


def test_lines_that_were_never_written_come_from_the_state(scene: Make) -> None:
    s = finished(scene, evaluate_every=1)
    path = s.directory / "rounds.jsonl"
    whole = path.read_text()
    path.write_text("".join(line + "\n" for line in whole.splitlines()[:2]) + whole.splitlines()[2][:40])
    history(s).flush()
    assert path.read_text() == whole


def test_starting_again_writes_nothing_twice(scene: Make) -> None:
    s = finished(scene, evaluate_every=1)
    before = lines(s)
    history(s).flush()
    assert lines(s) == before


def test_an_abandoned_round_has_its_line_with_the_reason(scene: Make) -> None:
    s = scene(goal=2, rounds=1, min_reports=2)
    kept = history(s)
    s.coordinator.on_round = kept.add
    s.join("d1", "d2")
    s.devices["d1"].answer_assignments = False
    s.settle()
    s.advance(31)
    (row,) = lines(s)
    assert row["phase"] == "abandoned"
    assert "reports" in row["reason"]


def test_started_is_the_date_on_which_the_round_began_though_another_process_ends_it(scene: Make) -> None:
    s = scene(goal=1, rounds=1)
    s.settle()
    began = s.clock.wall()
    s.clock.advance(100)
    s.broker.cut("coordinator")
    s.start()
    kept = history(s)
    s.coordinator.on_round = kept.add
    s.join("d1")
    s.run()
    (row,) = lines(s)
    assert row["started"] == began == 5000.0
    assert row["seconds"] < 100
