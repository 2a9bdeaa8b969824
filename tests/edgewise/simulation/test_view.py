"""What a person sees of a simulation: the table of demo and coordinator, in a simulation's units."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from edgewise.simulation.result import DeviceTable, Result
from edgewise.simulation.view import SimulationView, summary


def row(number: int, **more: Any) -> dict[str, Any]:
    return {
        "round": number, "phase": "committed", "version": number, "selected": 12, "reported": 10, "bytes_up": 2_000_000,
        "bytes_down": 3_000_000, "seconds": 61.5, "hours": 2.0, "reason": "", "train_loss": 1.25,
        "failed": {"offline for 20 s": 2}, **more,
    }  # fmt: skip


def test_the_latest_rounds_stand_in_the_table_of_every_live_view() -> None:
    view = SimulationView(400, "fedprox", quiet=True)
    view.console = Console(width=120, quiet=True)
    for number in range(1, 31):
        view.add(row(number, evaluated=5, loss=1.5, accuracy=0.5))
    console = Console(width=120)
    with console.capture() as capture:
        console.print(view.table())
    text = capture.get()
    assert "fedprox: 30 of 400 rounds" in text
    headings = "round phase selected reported loss accuracy % MB up MB down s virtual"
    assert headings.split() in [line.split() for line in text.splitlines()]
    assert "50.00    2.00      3.00   61.5     2.0 h" in text
    assert " 30 " in text
    assert " 22 " not in text  # only the latest eight


def test_of_a_fleet_that_takes_no_time_no_time_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    view = SimulationView(3)
    view.console = Console(width=120, stderr=True)
    view.add(row(1, evaluated=5, loss=1.5, hours=0.0))
    view.console.print(view.table())
    told = capsys.readouterr().err
    assert "round 1 of 3" in told
    assert "virtual" not in told


def test_where_nobody_watches_a_measured_round_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    with SimulationView(3) as view:
        view.add(row(1, evaluated=5, loss=1.5, accuracy=0.5))
        view.add(row(2))
        view.add(row(3, version=2, phase="abandoned", reason="only 2 devices"))
        view.add(row(4, version=3, evaluated=5, loss=1.25))
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "round 1 of 3  loss 1.500  accuracy % 50.00  2.0 h virtual",
        "round 3 was abandoned: only 2 devices.",
        "version 3 of 3  loss 1.250  2.0 h virtual",  # and not round 4 of 3
    ]


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_bar_keeps_its_numbers_at_any_width(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = Console(width=width, file=io.StringIO(), force_terminal=True)
    monkeypatch.setattr("edgewise.simulation.view.Console", lambda **_: shown)
    view = SimulationView(1000)
    with shown.capture() as capture:
        shown.print(view._bar)
    (line,) = capture.get().strip().splitlines()
    assert all(words in line for words in ("simulating", "━━━━", "0/1000", "rounds", "0:00:00", "left", "-:--:--"))


def test_a_narrow_summary_leaves_columns_out_and_cuts_none(tmp_path: Path) -> None:
    history = [row(n, evaluated=5, loss=1.5, top1=0.1, top3=0.2) for n in (1, 2)]
    table = DeviceTable(["a"], np.ones(1, np.int64), np.ones(1, np.int64))
    result = Result(history, {}, b"", table, tmp_path, True, "fedavg")
    for width in (40, 60, 80):
        console = Console(width=width)
        with console.capture() as capture:
            console.print(summary({"": result}, width))
        assert "…" not in capture.get()
        assert "top-3 %" in capture.get()
        assert ("MB down" in capture.get()) == (width == 80)
