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
from edgewise_wire.messages import Assignment, BlobRef, DiscoveryTerms, Kind, PrivacyTerms, SecureTerms
from edgewise_wire.secure.noise import noise_multiplier

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


def test_a_device_takes_part_in_no_more_rounds_of_a_run_than_are_agreed(log: ParticipationLog) -> None:
    """Whichever asks for fewer, coordinator or owner; a lying coordinator's flood of other rounds wipes nothing out."""
    agreed, owner = Separation(log, Policy), Separation(log, lambda: Policy(max_participations=2))
    for number, digest in ((5, b"a"), (8, b"b")):
        assert agreed.refusal(at(number)) is None
        log.begin(digest, 40, at(number), 0.0, Outcome.WORKING)
    three = replace(at(11), privacy=replace(at(11).privacy, participations=3))
    assert agreed.refusal(three) is None
    assert owner.refusal(three) == "this device took part in 2 rounds of the run, at most 2 are agreed"
    assert owner.refusal(at(8)) is None  # the same again: it was abandoned, and released nothing
    assert owner.refusal(at(11, run=7)) is None
    log.begin(b"c", 41, three, 0.0, Outcome.WORKING)
    log.end(b"c", 1.0, Outcome.FAILED)
    four = replace(at(14), privacy=replace(at(14).privacy, participations=3))
    assert agreed.refusal(four) == "this device took part in 3 rounds of the run, at most 3 are agreed"
    log._write("DELETE FROM participation", [])
    assert agreed.refusal(four) is not None
    assert owner.refusal(replace(four, kind=Kind.EVALUATE)) is None
    bare = replace(ASKED, privacy=PrivacyTerms())
    assert owner.refusal(bare) == "the owner allows 2 rounds of a run, and the assignment does not number them"


SUM = SecureTerms(10, 8, 16, 0.5, 1, 0.0, 0.5)
SURE = noise_multiplier(replace(SUM, noise=1e8), 1000)


@pytest.mark.parametrize(
    ("terms", "why"),
    [
        (replace(SUM, noise=1e8), None),
        (replace(SUM, noise=0.98e8), "noise of"),
        (replace(SUM, noise=1e8, least=7), "noise of"),
        (replace(SUM, noise=1e8, clip=0.6, range=0.6), "clipped to 0.6"),
        (replace(SUM, noise=1e8, weight_max=2), "protects nobody"),
        (SUM, "noise of 0 times"),
        (replace(SUM, noise=2e12), "draws up to 1e+12"),
    ],
)
def test_noise_that_devices_add_is_weighed_by_what_they_add_and_not_by_promises(
    terms: SecureTerms, why: str | None
) -> None:
    """Whatever multiple the coordinator's promise names."""
    asked = replace(ASKED, encoding="masked", secure=terms, weights=BlobRef(bytes(32), 4000), privacy=PrivacyTerms())
    rules = Policy(require_clipping=0.5, require_noise=SURE)
    for promise in (PrivacyTerms(), PrivacyTerms("skellam", 100.0, 1), PrivacyTerms("gaussian", 100.0, 1)):
        refusal = rules.refusal(replace(asked, privacy=promise), held=5, traffic=0)
        assert refusal is None if why is None else why in str(refusal)


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


@pytest.mark.parametrize("version", [1, 2, 3])
def test_an_older_log_is_taken_up(tmp_path: Path, version: int) -> None:
    path = tmp_path / "log.sqlite"
    with contextlib.closing(ParticipationLog(path)) as made:
        made.begin(b"a", 40, at(5), 0.0, Outcome.REPORTED)
    db = sqlite3.connect(path)
    gone = [] if version == 3 else ["run", "number", "clip", "noise", *(["bytes_metered"] if version == 1 else [])]
    db.execute("DROP TABLE taken")
    for column in gone:
        db.execute(f"ALTER TABLE participation DROP COLUMN {column}")
    db.execute(f"PRAGMA user_version={version}")
    db.commit()
    db.close()
    log = ParticipationLog(path)
    found = log.find(b"a")
    assert found is not None
    run = ("", 0) if version < 3 else ("f" * 16, 5)
    assert (found.round, found.run, found.number, found.bytes_metered) == (40, *run, 0)
    assert log.last_number(2**64 - 1) == run[1]
    log.begin(b"b", 41, at(6), 1.0, Outcome.WORKING)
    assert log.last_number(2**64 - 1) == 6
    log.close()
