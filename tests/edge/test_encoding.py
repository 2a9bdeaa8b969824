"""What a device sends in each encoding, what it keeps for later, and that a crash changes neither."""

from __future__ import annotations

import numpy as np
import pytest

from edgewise_edge.abilities import update_bytes
from edgewise_edge.control import RESIDUALS, Controls, forget_controls
from edgewise_edge.policy import Policy
from edgewise_wire.messages import Decline, Kind, ReportAck, UploadRequest
from edgewise_wire.transforms import Key, get

SIZE, DEVICE = 410, "pi-7"
ENCODINGS = [
    "float32",
    "float16",
    "rotated-4",
    "eden-1",
    "eden-3",
    "lloyd-2",
    "topk-0.05",
    "clip-0.5",
    "clip-0.5+eden-2",
]


@pytest.fixture
def working(world):
    world.start()
    world.run(steps=5)
    return world


def report(world, assignment) -> tuple[UploadRequest, bytes]:
    """Let the device do a round; return its request and the update as it lies on the device's disk."""
    world.say(assignment)
    found: list[UploadRequest] = []
    assert world.run(until=lambda: found.extend(world.bodies(UploadRequest)) or found)
    return found[0], (world.home.session / "update").read_bytes()


def decoded(world, assignment, data: bytes) -> np.ndarray:
    return get(assignment.encoding).decode(data, SIZE, Key(assignment.seed, world.round, DEVICE))


@pytest.mark.parametrize("name", ENCODINGS)
def test_the_update_is_sent_as_it_was_asked_for(working, name):
    plain = report(working, working.assignment())[1]
    working.say(ReportAck(1, accepted=True))
    working.run(steps=5)
    asked = working.assignment(encoding=name, attempt=2)
    request, data = report(working, asked)
    assert request.encoding == name
    assert request.update.size == len(data) == get(name).size(SIZE) == update_bytes(asked)
    key = Key(asked.seed, working.round, DEVICE)
    assert data == get(name).encode(np.frombuffer(plain, "<f4"), key, None).data


def test_the_same_bytes_after_a_kill(working):
    asked = working.assignment(encoding="topk-0.05")
    request, data = report(working, asked)
    residual = Controls(working.home, asked.graph.hash, RESIDUALS).load(1, SIZE).copy()
    (working.home.session / "report").unlink()  # killed before the report was written: it trains anew
    working.kill()
    working.start()
    found = []
    assert working.run(until=lambda: found.extend(working.bodies(UploadRequest)) or found)
    assert found[0].update == request.update
    assert (working.home.session / "update").read_bytes() == data
    np.testing.assert_array_equal(Controls(working.home, asked.graph.hash, RESIDUALS).load(1, SIZE), residual)


def test_what_was_not_said_is_said_when_its_round_has_counted(working):
    first = working.assignment(encoding="topk-0.05")
    one = decoded(working, first, report(working, first)[1])
    owed = Controls(working.home, first.graph.hash, RESIDUALS).load(1, SIZE).copy()
    working.say(ReportAck(1, accepted=True))
    working.run(steps=5)
    working.round = 2
    second = working.assignment(encoding="topk-0.05", control_round=1)
    two = decoded(working, second, report(working, second)[1])
    left = Controls(working.home, first.graph.hash, RESIDUALS).load(2, SIZE)
    working.say(ReportAck(1, accepted=True))
    working.run(steps=5)
    working.round = 2
    third = working.assignment(encoding="float32", attempt=2)  # the same round, so the same order of examples
    learned = np.frombuffer(report(working, third)[1], "<f4")
    np.testing.assert_allclose(two + left, owed + learned, atol=1e-5)
    assert np.count_nonzero(one) <= 21
    assert np.abs(owed).max() > 0


def test_what_was_sent_in_a_round_that_did_not_count_is_still_owed(working):
    first = working.assignment(encoding="topk-0.05")
    one = report(working, first)[1]
    working.say(ReportAck(1, accepted=True))  # and then the round was abandoned
    working.run(steps=5)
    again = working.assignment(encoding="topk-0.05", control_round=0, attempt=2)
    assert report(working, again)[1] == one


def test_forgetting_examples_forgets_what_is_owed(working):
    asked = working.assignment(encoding="topk-0.05")
    report(working, asked)
    forget_controls(working.home)
    assert Controls(working.home, asked.graph.hash, RESIDUALS).load(1, SIZE) is None


@pytest.mark.parametrize("name", ["eden-9", "clip-1+topk-0.01", "topk-2", "rotated-4+clip-1", "é" * 30])
def test_an_encoding_that_is_not_known_is_declined(working, name):
    working.say(working.assignment(encoding=name))
    found: list[Decline] = []
    assert working.run(until=lambda: found.extend(working.bodies(Decline)) or found)
    assert found[0].reason == f"updates encoded as {name!r} are not known to this version"


def test_the_owner_s_limit_counts_what_will_really_be_sent(world):
    world.policy = Policy(max_megabytes=(768 + 4 * SIZE + 600) / 1e6)
    world.start()
    world.say(world.assignment())
    found: list[Decline] = []
    assert world.run(until=lambda: found.extend(world.bodies(Decline)) or found)
    assert "the owner allows" in found[0].reason
    assert report(world, world.assignment(encoding="eden-1", attempt=2))[0].update.size == 12 + 4 + 64


def test_an_evaluation_sends_no_update(world):
    asked = world.assignment(kind=Kind.EVALUATE, encoding="eden-1")
    assert update_bytes(asked) == 0
