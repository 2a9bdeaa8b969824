"""A machine's clock that starts in 1970, jumps, and is never believed before the last date seen."""

from __future__ import annotations

import json

import pytest

from edgewise_edge.guarded_clock import GuardedClock

TODAY = 1_700_000_000.0


class Clocks:
    def __init__(self, wall):
        self.at, self.date = 50.0, wall

    def now(self):
        return self.at

    def wall(self):
        return self.date

    def pass_(self, seconds):
        self.at += seconds
        self.date += seconds


@pytest.fixture
def path(tmp_path):
    return tmp_path / "clock.json"


def settled(path, wall=TODAY):
    inner = Clocks(wall)
    clock = GuardedClock(inner, path)
    inner.pass_(600.0)
    clock.date()
    return inner, clock


def test_a_first_start_believes_the_machine(path):
    clock = GuardedClock(Clocks(TODAY), path)
    assert (clock.date(), clock.wall(), clock.settled()) == (TODAY, TODAY, None)
    path.write_text("torn")
    assert GuardedClock(Clocks(TODAY), path).date() == TODAY


def test_the_date_is_kept_once_it_is_settled_and_then_once_an_hour(path):
    inner, clock = settled(path)
    assert json.loads(path.read_text())["seen"] == TODAY + 600
    inner.pass_(3000.0)
    clock.date()
    assert json.loads(path.read_text())["seen"] == TODAY + 600
    inner.pass_(600.0)
    clock.date()
    assert json.loads(path.read_text())["seen"] == TODAY + 4200


def test_a_clock_behind_the_last_date_seen_has_no_date_and_time_goes_on_from_there(path):
    settled(path)
    inner = Clocks(3.0)
    clock = GuardedClock(inner, path)
    assert (clock.date(), clock.settled(), clock.wall()) == (None, None, TODAY + 600)
    inner.pass_(20.0)
    assert clock.wall() == TODAY + 620
    inner.date = TODAY + 5000  # the network's time has come
    assert (clock.date(), clock.settled(), clock.wall()) == (TODAY + 5000, None, TODAY + 5000)
    inner.pass_(601.0)
    assert clock.settled() == TODAY + 5601


def test_a_jump_into_the_future_that_is_corrected_is_forgotten(path):
    inner, clock = settled(path)
    inner.date += 1e9
    inner.pass_(300.0)
    assert clock.date() == TODAY + 600 + 1e9 + 300
    clock.date()
    inner.date -= 1e9
    inner.pass_(4000.0)
    clock.date()
    assert clock.date() == TODAY + 600 + 300 + 4000
    assert json.loads(path.read_text())["seen"] == TODAY + 600  # set a moment ago, as far as a look can tell
    inner.pass_(601.0)
    clock.date()
    assert json.loads(path.read_text())["seen"] == TODAY + 5501
