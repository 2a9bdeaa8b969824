"""The participation log: the owner's record of what was asked and sent."""

from __future__ import annotations

import sqlite3

import pytest

from edgewise_edge import participation
from edgewise_edge.participation import Outcome, ParticipationLog
from edgewise_wire.errors import DataError, UnavailableError
from edgewise_wire.messages import Assignment, BlobRef

ASKED = Assignment(2, epochs=3, learning_rate=0.5, max_examples=10, weights=BlobRef(b"w" * 32))


@pytest.fixture
def log(tmp_path):
    made = ParticipationLog(tmp_path / "log.sqlite")
    yield made
    made.close()


def test_a_row_tells_what_was_asked_and_what_came_of_it_also_to_the_next_process(log, tmp_path):
    log.begin(b"a", 4, ASKED, 100.0, Outcome.WORKING)
    log.note(b"a", {"examples": 10, "steps": 6, "loss": 2.0, "norm": 0.5, "seconds": 3.0})
    log.add_traffic(b"a", 100, 0)
    log.add_traffic(b"a", 20, 300)
    log.end(b"a", 110.0, Outcome.REPORTED, "thank you")
    found = ParticipationLog(tmp_path / "log.sqlite").find(b"a")
    assert found is not None
    assert (found.round, found.attempt, found.kind, found.asked_epochs, found.asked_examples) == (4, 2, "train", 3, 10)
    assert (found.bytes_down, found.bytes_up, found.norm, found.began, found.ended) == (120, 300, 0.5, 100.0, 110.0)
    assert (found.outcome, found.reason) == (Outcome.REPORTED, "thank you")


def test_the_newest_come_first_and_the_last_report_is_known(log):
    assert (log.entries(), log.last_report(), log.find(b"x")) == ([], None, None)
    for number, outcome in enumerate((Outcome.REPORTED, Outcome.REPORTED, Outcome.DECLINED)):
        log.begin(bytes([number]), number, ASKED, 100.0 * number, outcome)
        log.end(bytes([number]), 100.0 * number + 50, outcome)
    assert [entry.round for entry in log.entries(2)] == [2, 1]
    assert log.last_report() == 150.0


def test_what_a_dead_process_left_open_is_ended(log):
    for name in (b"a", b"b"):
        log.begin(name, 1, ASKED, 1.0, Outcome.WORKING)
    log.close_open(b"b", 9.0)
    assert [log.find(name).outcome for name in (b"a", b"b")] == [Outcome.FAILED, Outcome.WORKING]


def test_the_log_does_not_grow_for_ever(log, monkeypatch):
    monkeypatch.setattr(participation, "ENTRIES_MAX", 5)
    for number in range(20):
        log.begin(bytes([number]), number, ASKED, float(number), Outcome.DECLINED)
    assert [entry.round for entry in log.entries()] == [19, 18, 17, 16, 15, 14]


def test_a_file_that_is_no_log_or_a_newer_one_is_refused(tmp_path):
    path = tmp_path / "log.sqlite"
    path.write_bytes(b"no database at all, but long enough to look at" * 10)
    with pytest.raises(DataError, match="not a participation log"):
        ParticipationLog(path)
    path.unlink()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version=99")
    with pytest.raises(DataError, match="newer edgewise"):
        ParticipationLog(path)
    with pytest.raises(UnavailableError, match="cannot be opened"):
        ParticipationLog(tmp_path / "nowhere" / "log.sqlite")
