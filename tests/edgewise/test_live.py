"""The table of rounds, with and without a terminal."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from edgewise.live import RoundsView, cells, megabytes, narrowed, percent

ROW: dict[str, Any] = {
    "round": 3, "phase": "committed", "selected": 8, "reported": 6, "loss": 5.1234, "top1": 0.1056, "top3": 0.2,
    "bytes_up": 4_500_000, "bytes_down": 750_000, "seconds": 2.04, "reason": "",
}  # fmt: skip
SIZES = [(0, "0.00"), (14_500, "0.01"), (5.69e6, "5.69"), (2e9, "2000")]


@pytest.mark.parametrize(("count", "words"), SIZES)
def test_bytes_read_well(count: float, words: str) -> None:
    assert megabytes(count) == words


def test_a_share_that_is_not_there_is_a_dash() -> None:
    assert (percent(None), percent(0.1056)) == ("–", "10.56")


def test_a_rounds_cells() -> None:
    assert list(cells(ROW, ["top1", "top3"]).values()) == [
        "3", "committed", "8", "6", "5.123", "10.56", "20.00", "4.50", "0.75", "2.0",
    ]  # fmt: skip


def test_a_narrow_terminal_gets_fewer_columns() -> None:
    row = narrowed(cells(ROW, ["top1", "top3"]))
    assert row["reports"] == "6/8"
    assert "phase" not in row
    abandoned = narrowed(cells({**ROW, "phase": "abandoned"}, []))
    assert abandoned["reports"] == "abandoned"


@pytest.mark.parametrize("width", [70, 80, 99, 100, 160])
def test_no_number_is_cut_at_any_width(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console(width=width, record=True, file=io.StringIO())
    monkeypatch.setattr("edgewise.live.Console", lambda **_: console)
    with RoundsView(["top1", "top3"], total=40) as view:
        for n in range(40):
            view.add({**ROW, "round": n})
        console.print(view.table())
    shown = console.export_text()
    table = shown[shown.index("of 40 rounds") :]
    assert "…" not in table
    assert all(len(line.rstrip()) <= width for line in table.splitlines())
    assert table.count("10.56") == 40


def test_a_pipe_gets_one_line_a_round(capsys: pytest.CaptureFixture[str]) -> None:
    with RoundsView(["top1", "top3"], total=5) as view:
        view.show("training")
        view.add(ROW)
        view.add({**ROW, "round": 4, "phase": "abandoned", "reason": "nobody came"})
    err = capsys.readouterr().err.splitlines()
    assert len(err) == 3
    assert "top-1 %     10.56" in err[0]
    assert err[1] == "Round 4 was abandoned: nobody came."


def test_quiet_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with RoundsView(["top1"], total=1, quiet=True) as view:
        view.add(ROW)
    assert capsys.readouterr() == ("", "")
