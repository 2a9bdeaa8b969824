"""What a device promises itself whatever a coordinator asks: clipping, noise, and rounds that are far enough apart."""

from __future__ import annotations

import contextlib
import math
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from edgewise_edge.participation import Outcome, ParticipationLog
from edgewise_edge.policy import Policy
from edgewise_edge.separation import Separation
from edgewise_wire.messages import Assignment, DiscoveryTerms, Kind, PrivacyTerms

ASKED = Assignment(
    1, epochs=1, learning_rate=0.1, encoding="clip-0.5+eden-2",
    privacy=PrivacyTerms("tree", 4.0, number=5, separation=3, run=2**64 - 1),
)  # fmt: skip


def at(number: int, *, run: int = 2**64 - 1, separation: int = 3) -> Assignment:
    return replace(ASKED, privacy=replace(ASKED.privacy, number=number, run=run, separation=separation))


@pytest.fixture
def log(tmp_path: Path):
    made = ParticipationLog(tmp_path / "log.sqlite")
    yield made
    made.close()


def test_a_round_too_soon_after_the_last_is_refused_whatever_its_coordinator_says(log: ParticipationLog) -> None:
    separation = Separation(log, Policy)
    assert separation.refusal(at(5)) is None
    log.begin(b"a", 40, at(5), 0.0, Outcome.WORKING)
    refused = {number: separation.refusal(at(number)) is not None for number in range(1, 10)}
    assert refused == {1: True, 2: True, 3: True, 4: True, 5: False, 6: True, 7: True, 8: False, 9: False}
    assert separation.refusal(at(6)) == "round 6 of the run is 1 after this device's last, expected 3"
    assert separation.refusal(at(6, run=7)) is None  # another run, another guarantee
    assert separation.refusal(at(6, separation=1)) is None
    assert separation.refusal(replace(at(6), kind=Kind.EVALUATE)) is None


def test_what_was_declined_is_no_participation_and_what_failed_is_one(log: ParticipationLog) -> None:
    separation = Separation(log, Policy)
    log.begin(b"a", 40, at(5), 0.0, Outcome.DECLINED)
    assert separation.refusal(at(6)) is None
    log.begin(b"b", 41, at(6), 0.0, Outcome.WORKING)
    log.end(b"b", 1.0, Outcome.FAILED)
    assert separation.refusal(at(7)) is not None


def test_an_owner_may_ask_for_more_than_is_promised(log: ParticipationLog) -> None:
    separation = Separation(log, lambda: Policy(min_separation_rounds=10))
    log.begin(b"a", 40, at(5), 0.0, Outcome.WORKING)
    assert separation.refusal(at(14)) == "round 14 of the run is 9 after this device's last, expected 10"
    assert separation.refusal(at(15)) is None
    bare = replace(ASKED, privacy=PrivacyTerms())
    assert (
        separation.refusal(bare) == "the owner asks for 10 rounds between two, and the assignment does not number them"
    )


@pytest.mark.parametrize(
    ("encoding", "mechanism", "noise", "why"),
    [
        ("clip-0.5", "tree", 4.0, None),
        ("clip-0.6", "tree", 4.0, "clipped to 0.6"),
        ("eden-2", "tree", 4.0, "clipped not at all"),
        ("clip-0.5", "tree", 2.9, "noise of 2.9 times"),
        ("clip-0.5", "", 4.0, "noise of 0 times"),
        ("clip-0.5", "tree", math.nan, "noise of 0 times"),
        ("clip-0.5", "tree", math.inf, "noise of 0 times"),
    ],
)
def test_the_lowest_privacy_that_an_owner_accepts(encoding: str, mechanism: str, noise: float, why: str | None) -> None:
    asked = replace(ASKED, encoding=encoding, privacy=PrivacyTerms(mechanism, noise, 1))
    refusal = Policy(require_clipping=0.5, require_noise=3.0).refusal(asked, held=5, traffic=0)
    assert refusal is None if why is None else why in str(refusal)


def test_words_are_voted_for_only_where_the_owner_says_so() -> None:
    asked = Assignment(1, kind=Kind.DISCOVER, discovery=DiscoveryTerms(2, 8))
    assert Policy().refusal(asked, held=5, traffic=0) == "this device's owner does not let it vote for words"
    assert Policy(max_votes=8).refusal(asked, held=5, traffic=0) is None
    none = replace(asked, discovery=DiscoveryTerms())
    assert Policy(max_votes=8).refusal(none, held=5, traffic=0) == "no votes were asked for"


@pytest.mark.parametrize("version", [1, 2])
def test_an_older_log_is_taken_up(tmp_path: Path, version: int) -> None:
    path = tmp_path / "log.sqlite"
    with contextlib.closing(ParticipationLog(path)) as made:
        made.begin(b"a", 40, at(5), 0.0, Outcome.REPORTED)
    db = sqlite3.connect(path)
    gone = ["run", "number", "clip", "noise", *(["bytes_metered"] if version == 1 else [])]
    for column in gone:
        db.execute(f"ALTER TABLE participation DROP COLUMN {column}")
    db.execute(f"PRAGMA user_version={version}")
    db.commit()
    db.close()
    log = ParticipationLog(path)
    found = log.find(b"a")
    assert found is not None
    assert (found.round, found.number, found.run, found.bytes_metered) == (40, 0, "", 0)
    log.begin(b"b", 41, at(6), 1.0, Outcome.WORKING)
    assert log.last_number(2**64 - 1) == 6
    log.close()
