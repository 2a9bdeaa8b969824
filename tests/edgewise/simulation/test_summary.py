"""What came of runs, a line each: the command's table and the report's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgewise.simulation.report import write_report
from edgewise.simulation.summary import summarised
from simulated import simulated


def line(rows: list[dict[str, Any]]) -> dict[str, str]:
    return summarised({"run": rows})[0]


def test_devices_that_are_still_at_work_are_not_lost(fixture_dir: Path) -> None:
    found = simulated(fixture_dir, rounds=6, buffer=2, concurrency=4, fleet="pi-fleet", drop_out=0.0)
    assert sum(row["selected"] for row in found.history) > sum(row["reported"] for row in found.history)
    assert line(found.history)["lost"] == "0 %"


def test_lost_are_drop_outs_and_everybody_of_a_round_that_was_abandoned(fixture_dir: Path) -> None:
    found = simulated(
        fixture_dir, rounds=6, cohort=4, min_reports=4, fleet="pi-fleet", drop_out=0.2, evaluate_every=0, seed=2
    )
    assert {row["phase"] for row in found.history} == {"committed", "abandoned"}
    asked, reports = (sum(row[name] for row in found.history) for name in ("selected", "reported"))
    assert line(found.history)["lost"] == f"{100 * (asked - reports) / asked:.0f} %"
    assert line(found.history)["reports"] == str(reports)


def test_the_report_of_an_ideal_fleet_tells_no_time_either(fixture_dir: Path, tmp_path: Path) -> None:
    found = simulated(fixture_dir, directory=tmp_path / "run", rounds=2)
    assert "virtual" not in line(found.history)
    page = write_report(tmp_path / "run", tmp_path / "report.html").read_text("utf-8")
    assert "<th>lost</th>" in page
    assert "<th>virtual</th>" not in page
