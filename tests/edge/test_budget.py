"""The owner's day: what was done counts, also by earlier processes and by a clock that jumps."""

from __future__ import annotations

import sqlite3

import pytest

from edgewise_edge.budget import DAY, Budget
from edgewise_edge.participation import ADDED, Outcome, ParticipationLog, Used
from edgewise_edge.policy import Policy
from edgewise_wire.clock import ManualClock
from edgewise_wire.messages import Assignment, Kind

TODAY = 1_700_000_000.0
ASKED = Assignment(1, epochs=2, learning_rate=0.1)


@pytest.fixture
def log(tmp_path):
    made = ParticipationLog(tmp_path / "log.sqlite")
    yield made
    made.close()


def took(log, at, *, epochs=2, seconds=60.0, megabytes=3, metered=False, outcome=Outcome.REPORTED):
    digest = repr((at, epochs, metered)).encode()
    log.begin(digest, 1, Assignment(1, epochs=epochs, learning_rate=0.1), at, Outcome.WORKING)
    if seconds:
        log.add_seconds(digest, seconds)
    log.add_traffic(digest, 1_000_000, 1_000_000 * (megabytes - 1), metered=metered)
    log.end(digest, at + seconds, outcome)


def budget(log, clock=None, *, metered=False, **rules):
    return Budget(log, clock or ManualClock(0.0, TODAY), lambda: Policy(**rules), lambda: metered)


def test_without_limits_nothing_is_used_up(log):
    took(log, TODAY - 100)
    free = budget(log)
    assert free.used() == Used(2, 60.0, 3_000_000, 0)
    assert (free.obstacle(), free.refusal(ASKED, 10**9), free.overrun(1e6, 10**9)) == (None, None, None)


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ({"max_epochs_day": 2}, "the owner's 2 epochs a day are used up"),
        ({"max_minutes_day": 1}, "the owner's 1 minutes a day are used up"),
        ({"max_megabytes_day": 3}, "the owner's 3 MB a day are used up"),
    ],
)
def test_a_limit_is_used_up_until_a_day_has_passed(log, rules, words):
    clock = ManualClock(0.0, TODAY)
    took(log, TODAY - 100)
    day = budget(log, clock, **rules)
    assert day.obstacle() == words
    clock.advance(DAY - 100)
    assert day.obstacle() == words
    clock.advance(100)
    assert day.obstacle() is None


def test_a_round_must_fit_into_what_is_left(log):
    took(log, TODAY - 100)
    assert budget(log, max_epochs_day=4).refusal(ASKED, 0) is None
    assert budget(log, max_epochs_day=3).refusal(ASKED, 0) == (
        "2 epochs were asked for, of the owner's 3 a day 1 are left"
    )
    assert budget(log, max_epochs_day=3).refusal(Assignment(1, kind=Kind.EVALUATE, epochs=9), 0) is None
    assert budget(log, max_megabytes_day=5).refusal(ASKED, 2_000_000) is None
    assert budget(log, max_megabytes_day=5).refusal(ASKED, 2_000_001) == (
        "the round would move 2.0 MB, of the owner's 5 MB a day 2.0 MB are left"
    )


def test_work_in_progress_may_use_what_is_left_and_no_more(log):
    took(log, TODAY - 100)
    day = budget(log, max_minutes_day=2, max_megabytes_day=5)
    assert day.overrun(59.9, 2_000_000) is None
    assert day.overrun(60.0, 0) == "the owner's 2 minutes a day are used up"
    assert day.overrun(0.0, 2_000_001) == "the owner's 5 MB a day are used up"


def test_megabytes_on_metered_networks_are_counted_apart(log):
    took(log, TODAY - 300, megabytes=20)
    took(log, TODAY - 100, megabytes=2, metered=True)
    assert budget(log, metered_megabytes=3).refusal(ASKED, 10**9) is None
    on_metered = budget(log, metered=True, metered_megabytes=3)
    assert on_metered.refusal(ASKED, 1_000_000) is None
    assert on_metered.overrun(0.0, 1_000_001) == "the owner's 3 MB a day on metered networks are used up"
    both = budget(log, metered=True, metered_megabytes=30, max_megabytes_day=22)
    assert both.obstacle() == "the owner's 22 MB a day are used up"


def test_a_round_that_was_declined_at_once_took_no_epochs_and_one_given_up_did(log):
    took(log, TODAY - 300, seconds=0, outcome=Outcome.DECLINED)
    took(log, TODAY - 100, seconds=5.0, outcome=Outcome.DECLINED, epochs=3)
    assert budget(log).used().epochs == 3


def test_entries_of_a_clock_that_was_years_ahead_do_not_use_up_every_day_until_then(log):
    took(log, TODAY + 3 * 365 * DAY)
    assert budget(log).used() == Used()


def test_a_log_of_the_first_version_is_taken_over(log, tmp_path):
    took(log, TODAY - 100)
    path = tmp_path / "log.sqlite"
    with sqlite3.connect(path) as db:
        for _, column, _ in ADDED:
            db.execute(f"ALTER TABLE participation DROP COLUMN {column.split()[0]}")
        db.execute("PRAGMA user_version = 1")
    again = ParticipationLog(path)
    assert again.used(0.0, TODAY) == Used(2, 60.0, 3_000_000, 0)
    took(again, TODAY - 50, metered=True)
    assert again.used(0.0, TODAY).metered == 3_000_000
    again.close()
