"""The table of rounds, with and without a terminal."""

from __future__ import annotations

from typing import Any

import pytest

from edgewise.live import RoundsView, cells, megabytes, percent

ROW: dict[str, Any] = {
    "round": 3, "phase": "committed", "selected": 8, "reported": 6, "loss": 5.1234, "top1": 0.1056, "top3": 0.2,
    "bytes_up": 4_500_000, "bytes_down": 750_000, "seconds": 2.04, "reason": "",
}  # fmt: skip


@pytest.mark.parametrize(
    ("count", "words"), [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (5.69e6, "5.69 MB"), (2e9, "2 GB")]
)
def test_bytes_read_well(count: float, words: str) -> None:
    assert megabytes(count) == words


def test_a_share_that_is_not_there_is_a_dash() -> None:
    assert (percent(None), percent(0.1056)) == ("–", "10.56 %")


def test_a_rounds_cells() -> None:
    assert cells(ROW, ["top1", "top3"]) == [
        "3", "committed", "8", "6", "5.123", "10.56 %", "20.00 %", "4.5 MB", "750 kB", "2.0",
    ]  # fmt: skip


def test_a_pipe_gets_one_line_a_round(capsys: pytest.CaptureFixture[str]) -> None:
    with RoundsView(["top1", "top3"], total=5) as view:
        view.show("training")
        view.add(ROW)
        view.add({**ROW, "round": 4, "phase": "abandoned", "reason": "nobody came"})
    err = capsys.readouterr().err.splitlines()
    assert len(err) == 3
    assert "top-1 10.56 %" in err[0]
    assert err[1] == "round 4 was abandoned: nobody came"


def test_quiet_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with RoundsView(["top1"], total=1, quiet=True) as view:
        view.add(ROW)
    assert capsys.readouterr() == ("", "")
