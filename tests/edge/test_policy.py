"""The owner's limits: what they allow, and what a file of them may say."""

from __future__ import annotations

import dataclasses
import json

import pytest

from edgewise_edge.policy import WORDS, Policy, PolicyFile, changed, load_policy, save_policy
from edgewise_wire.errors import ConfigError
from edgewise_wire.messages import Assignment, Kind

ASKED = Assignment(1, epochs=1, learning_rate=0.1)


def test_the_limits_are_inclusive():
    policy = Policy(min_examples=5, max_epochs=1, max_megabytes=2.0)
    assert policy.refusal(ASKED, held=5, traffic=2_000_000) is None
    assert policy.refusal(ASKED, held=4, traffic=0) == "this device has 4 examples, its owner asks for at least 5"
    assert policy.refusal(ASKED, held=5, traffic=2_000_001) is not None


def test_an_evaluation_needs_one_held_out_example_and_no_learning_rate():
    asked = Assignment(1, kind=Kind.EVALUATE, epochs=0)
    policy = Policy(min_examples=20)
    assert policy.refusal(asked, held=1, traffic=0) is None
    assert policy.refusal(asked, held=0, traffic=0) == "this device has no held-out examples"


@pytest.mark.parametrize(
    ("asked", "owner", "held", "used"),
    [(0, 0, 50, 50), (10, 0, 50, 10), (0, 20, 50, 20), (10, 20, 50, 10), (30, 20, 50, 20), (100, 200, 50, 50)],
)
def test_the_smallest_number_of_examples_wins(asked, owner, held, used):
    assert Policy(max_examples=owner).examples_used(asked, held) == used


@pytest.mark.parametrize(("deadline", "seconds"), [(30.0, 30.0), (1e9, 60.0), (0.0, 60.0), (float("nan"), 60.0)])
def test_a_round_takes_no_longer_than_the_owner_allows(deadline, seconds):
    assert Policy(max_minutes=1.0).seconds_allowed(deadline) == seconds


@pytest.mark.parametrize(
    "changes", [{"min_examples": 0}, {"max_epochs": -1}, {"max_minutes": float("inf")}, {"min_battery": 101.0}]
)
def test_limits_out_of_their_range_are_refused(changes):
    with pytest.raises(ConfigError, match=next(iter(changes))):
        Policy(**changes)


def test_a_file_of_limits_is_read_as_it_was_written(tmp_path):
    path = tmp_path / "policy.json"
    assert load_policy(path) == Policy()
    save_policy(path, Policy(min_examples=7, max_minutes=2.5))
    assert load_policy(path) == Policy(min_examples=7, max_minutes=2.5)
    path.write_text('{"max_epochs": 2}')
    assert load_policy(path) == Policy(max_epochs=2)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"unknown": 1}', '{"max_epochs": true}', '{"max_epochs": "2"}'])
def test_a_spoiled_file_of_limits_is_refused_and_never_taken_for_none(tmp_path, text):
    path = tmp_path / "policy.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"policy\.json"):
        load_policy(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_policy(path)


@pytest.mark.parametrize("hours", ["22", "25-3", "1:60-2", "5-5", "1-2,", "night"])
def test_hours_that_are_none_are_refused(hours):
    with pytest.raises(ConfigError, match="expected hours of the day"):
        Policy(hours=hours)


def test_an_owner_sets_one_rule_in_words(tmp_path):
    policy = changed(changed(Policy(), "on_battery", "Yes"), "max_load", "1.5")
    assert policy == Policy(on_battery=True, max_load=1.5)
    assert changed(policy, "hours", "22-6").hours == "22-6"
    save_policy(tmp_path / "policy.json", policy)
    assert load_policy(tmp_path / "policy.json") == policy
    assert json.loads((tmp_path / "policy.json").read_text()) == {"on_battery": True, "max_load": 1.5}
    for name, text in (("on_battery", "maybe"), ("max_load", "much"), ("max_epochs", "1.5"), ("max_load", "-1")):
        with pytest.raises(ConfigError, match=f"policy {name}: expected"):
            changed(policy, name, text)
    with pytest.raises(ConfigError, match="there is no such rule"):
        changed(policy, "volume", "11")


def test_every_rule_says_what_it_is_for():
    assert all(WORDS[field.name] for field in dataclasses.fields(Policy))


def test_privacy_that_is_not_offered_is_declined():
    assert "updates would be clipped not at all" in str(Policy(require_clipping=1.0).refusal(ASKED, held=5, traffic=0))
    assert "does not offer it" in str(Policy(require_secure_aggregation=True).refusal(ASKED, held=5, traffic=0))
    evaluation = Assignment(1, kind=Kind.EVALUATE)
    assert Policy(require_clipping=1.0, require_secure_aggregation=True).refusal(evaluation, held=5, traffic=0) is None


def test_a_running_agent_sees_a_change_and_stops_at_a_spoiled_file(tmp_path):
    path = tmp_path / "policy.json"
    file = PolicyFile(path)
    assert (file(), file.obstacle()) == (Policy(), None)
    save_policy(path, Policy(max_epochs=3))
    assert file() == Policy(max_epochs=3)
    path.write_text("{")
    assert (file(), file.obstacle()) == (Policy(max_epochs=3), "the owner's policy file cannot be used")
    path.unlink()
    assert (file(), file.obstacle()) == (Policy(), None)
