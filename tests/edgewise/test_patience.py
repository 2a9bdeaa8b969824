"""What takes minutes says so: once in a log, with the seconds on a terminal."""

from __future__ import annotations

import io
import sys
import time

import pytest

from edgewise import patience


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_log_gets_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with patience.working("Baking"):
        time.sleep(0.01)
    assert capsys.readouterr().err == "Baking …\n"


def test_a_terminal_sees_the_seconds_on_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "TICK_SECONDS", 0.01)
    monkeypatch.setattr(sys, "stderr", told := Terminal())
    with patience.working("Baking"):
        deadline = time.monotonic() + 5
        while "\rBaking … 0 s" not in told.getvalue() and time.monotonic() < deadline:
            time.sleep(0.01)
    assert "\rBaking … 0 s" in told.getvalue()
    assert told.getvalue().count("\n") == 1
