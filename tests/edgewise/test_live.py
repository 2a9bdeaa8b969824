"""The table of rounds, with and without a terminal."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from edgewise.live import MARKS, RoundsView, cells, devices_line, fitted, megabytes, narrowed, percent, rounds_table
from edgewise.running import Waiting

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


@pytest.mark.parametrize("width", [30, 40, 50, 70, 80, 99, 100, 160])
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
    assert err[0] == "round 3  reports 6/8  loss 5.123  top-1 % 10.56  top-3 % 20.00  MB up 4.50  MB down 0.75  s 2.0"
    assert err[1] == "Round 4 was abandoned: nobody came."


def test_what_an_earlier_run_did_is_not_told_as_if_it_were_new(capsys: pytest.CaptureFixture[str]) -> None:
    with RoundsView(["top1"], total=5) as view:
        view.go_on([{**ROW, "round": n, "reason": "nobody" if n == 2 else ""} for n in (1, 2, 3)])
        view.add({**ROW, "round": 4})
    err = capsys.readouterr().err.splitlines()
    assert [line.partition("  ")[0] for line in err] == [
        "3 of 5 rounds were done before; the latest: round 3",
        "round 4",
    ]


def test_a_log_is_told_once_of_a_wait_for_devices() -> None:
    waiting = Waiting()
    told = [waiting.words(lacking, "home", now) for lacking, now in [
        ((8, 2), 0.0), ((8, 2), 4.9), ((8, 2), 5.0), ((8, 3), 9.0), (None, 10.0), ((8, 1), 11.0), ((8, 1), 16.5),
    ]]  # fmt: skip
    assert [bool(words) for words in told] == [False, False, True, False, False, False, True]
    assert told[2].startswith("Waiting for 8 devices, 2 of fleet 'home' can be asked")
    assert "--cohort" in told[2]
    nobody = Waiting()
    assert nobody.words((1, 0), "home", 0.0) == ""
    assert "none of fleet 'home' can be asked so far" in nobody.words((1, 0), "home", 6.0)


def test_quiet_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with RoundsView(["top1"], total=1, quiet=True) as view:
        view.add(ROW)
    assert capsys.readouterr() == ("", "")


def test_what_a_very_narrow_terminal_keeps() -> None:
    rows = [narrowed(cells(ROW, ["top1", "top3"]))]
    assert list(fitted(rows, 200)[0]) == ["round", "reports", "loss", "top-1 %", "top-3 %", "MB up", "MB down", "s"]
    assert list(fitted(rows, 30)[0]) == ["round", "loss", "top-1 %"]
    assert fitted([], 30) == []


def test_devices_are_told_apart_without_colour() -> None:
    line = devices_line(["reported", "training", "failed", "assigned", "uploading", "offline"], 80)
    assert line.plain == "✓●×◌↑○"
    assert len({mark for mark, _ in MARKS.values()}) == len(MARKS)
    assert devices_line(["training"] * 1000, 30).plain == "●" * 30


def live(monkeypatch: pytest.MonkeyPatch, **environment: str) -> str:
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=60, height=20)
    monkeypatch.setattr("edgewise.live.Console", lambda **_: console)
    with RoundsView(["top1", "top3"], total=2) as view:
        view.add(ROW)
        view.show("training: reporting; 1 of 2 reports", ["reported", "training"])
        assert "✓" in out.getvalue()
        assert "1 of 2 reports" in out.getvalue()
    return out.getvalue()


def test_a_terminal_has_colours_and_no_color_takes_them_away(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "\x1b[32m✓" in live(monkeypatch, TERM="xterm-256color")
    bare = live(monkeypatch, TERM="xterm-256color", NO_COLOR="1")
    assert not any(f"[{code}m" in bare for code in range(30, 38))
    assert "✓" in bare


@pytest.mark.parametrize("width", [100, 101, 110])
def test_a_terminal_just_wide_enough_cuts_nothing(width: int) -> None:
    row = {
        "round": "12", "phase": "committed", "selected": "104", "reported": "80", "loss": "6.497", "top-1 %": "3.74",
        "top-3 %": "10.22", "MB up": "53.78", "MB down": "77.23", "s": "2719.0", "virtual": "30.5 h",
    }  # fmt: skip
    out = io.StringIO()
    Console(file=out, width=width).print(rounds_table([row], "12 of 50 rounds", width))
    assert "…" not in out.getvalue()
    assert "6.497" in out.getvalue()
