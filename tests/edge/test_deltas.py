"""A device that has earlier weights fetches the difference; whatever is wrong with it, it ends with the right bits."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from edgewise_edge.deltas import short_way
from edgewise_edge.policy import Policy
from edgewise_wire.blobs import BlobStore
from edgewise_wire.messages import BlobRequest, Decline, Delta, ReportAck, UploadRequest
from edgewise_wire.transforms.delta import base_of, shorten
from edgewise_wire.weights import flatten, to_bytes

SIZE = 410


@pytest.fixture(autouse=True)
def world(world):
    """Keep what each training started from, as bytes."""
    world.trainer_started_from = []
    set_weights = world.trainer.set_weights

    def watched(weights):
        specs = world.trainer.manifest.weights
        world.trainer_started_from.append(to_bytes(flatten({k: np.array(v) for k, v in weights.items()}, specs)))
        set_weights(weights)

    world.trainer.set_weights = watched
    return world


@pytest.fixture
def working(world):
    world.start()
    world.run(steps=5)
    return world


def digest(weights: np.ndarray) -> bytes:
    return hashlib.sha256(to_bytes(weights)).digest()


def versions(world, name: str, count: int = 3) -> tuple[list[np.ndarray], list[Delta]]:
    """Return published versions and the ways between them, their blobs on the broker."""
    rng = np.random.default_rng(0)
    published, deltas = [world.weights], []
    for _ in range(count):
        new = published[-1] + rng.standard_normal(SIZE).astype("f4") * np.float32(0.1)
        base = base_of(name, digest(published[-1]))
        sent = shorten(name, new, published[-1], base)
        deltas.append(Delta(base, world.offer(sent.data), name))
        published.append(sent.weights)
    return published, deltas


def do_round(world, assignment) -> None:
    world.say(assignment)
    found: list[UploadRequest] = []
    assert world.run(until=lambda: found.extend(world.bodies(UploadRequest)) or found)
    world.say(ReportAck(assignment.attempt, accepted=True))
    world.run(steps=10)


def asked_for(world, weights: np.ndarray, deltas, attempt: int, *, whole: bool = False):
    """Return the assignment of a version; the whole weights are on the broker only if that is asked for."""
    ref = world.offer(to_bytes(weights), without=() if whole else (0,))
    return world.assignment(weights=ref, deltas=tuple(deltas), attempt=attempt)


@pytest.mark.parametrize("name", ["lloyd-4", "eden-1", "rotated-8", "topk-0.05", "float16"])
@pytest.mark.parametrize("behind", [1, 2])
def test_the_weights_are_made_of_the_differences(working, name, behind):
    published, deltas = versions(working, name)
    do_round(working, working.assignment())  # has version 0
    do_round(working, asked_for(working, published[behind], deltas[:behind], attempt=2))
    store = BlobStore(working.home.blobs)
    assert store.read(digest(published[behind])) == to_bytes(published[behind])
    assert store.read(digest(published[behind])) == working.trainer_started_from[-1]


def test_only_what_is_missing_is_fetched(working):
    published, deltas = versions(working, "lloyd-2")
    do_round(working, working.assignment())
    do_round(working, asked_for(working, published[2], deltas[:2], attempt=2))
    store = BlobStore(working.home.blobs)
    last = asked_for(working, published[3], deltas, attempt=3)
    assert short_way(last, store) == (deltas[2],)
    do_round(working, last)
    assert store.read(digest(published[3])) == to_bytes(published[3])


def test_a_device_without_a_base_fetches_the_whole(working):
    published, deltas = versions(working, "lloyd-2")
    assignment = asked_for(working, published[3], deltas[1:], attempt=1, whole=True)
    assert short_way(assignment, BlobStore(working.home.blobs)) == ()
    do_round(working, assignment)
    assert working.trainer_started_from[-1] == to_bytes(published[3])


def test_half_precision_of_the_whole_needs_no_base(working):
    published, deltas = versions(working, "float16", 1)
    do_round(working, asked_for(working, published[1], deltas, attempt=1))
    assert working.trainer_started_from[-1] == to_bytes(published[1])


@pytest.mark.parametrize("wrong", ["another result", "another encoding", "another base", "bytes"])
def test_differences_that_lead_elsewhere_cost_one_download_and_nothing_else(working, wrong):
    published, deltas = versions(working, "lloyd-4", 1)
    do_round(working, working.assignment())
    delta, target = deltas[0], published[1]
    if wrong == "another result":
        target = published[1] + np.float32(1)
    elif wrong == "another encoding":
        delta = Delta(delta.base, delta.blob, "eden-4")
    elif wrong == "another base":
        delta = Delta(digest(target), delta.blob, "lloyd-4")
    else:
        delta = Delta(delta.base, working.offer(b"\xff" * delta.blob.size), "lloyd-4")
    do_round(working, asked_for(working, target, [delta], attempt=2, whole=True))
    assert working.trainer_started_from[-1] == to_bytes(target)


@pytest.mark.parametrize("change", [{"encoding": "zip"}, {"encoding": "lloyd-2"}, {"base": b"short"}])
def test_a_malformed_difference_is_passed_over(working, change):
    published, deltas = versions(working, "lloyd-4", 1)
    do_round(working, working.assignment())
    plain = {"base": deltas[0].base, "blob": deltas[0].blob, "encoding": "lloyd-4"} | change
    assignment = asked_for(working, published[1], [Delta(**plain)], attempt=2, whole=True)
    assert short_way(assignment, BlobStore(working.home.blobs)) == ()
    do_round(working, assignment)
    assert working.trainer_started_from[-1] == to_bytes(published[1])


def test_a_way_that_is_not_shorter_is_not_taken(working):
    published, deltas = versions(working, "rotated-8", 4)
    do_round(working, working.assignment())
    assignment = asked_for(working, published[4], deltas, attempt=2, whole=True)
    assert sum(d.blob.size for d in deltas) >= 4 * SIZE
    assert short_way(assignment, BlobStore(working.home.blobs)) == ()


def test_a_kill_between_the_difference_and_the_weights(working):
    published, deltas = versions(working, "lloyd-4", 1)
    do_round(working, working.assignment())
    assignment = asked_for(working, published[1], deltas, attempt=2)
    store = BlobStore(working.home.blobs)
    working.say(assignment)
    assert working.run(until=lambda: (working.home.blobs / (deltas[0].blob.hash.hex() + ".part")).exists() or None)
    working.kill()
    working.start()
    found: list[UploadRequest] = []
    assert working.run(until=lambda: found.extend(working.bodies(UploadRequest)) or found)
    assert store.read(digest(published[1])) == to_bytes(published[1])
    assert not working.bodies(BlobRequest)


def test_the_owner_s_limit_counts_the_difference(world):
    world.start()
    world.run(steps=5)
    do_round(world, world.assignment())
    published, deltas = versions(world, "lloyd-4", 1)
    world.kill()
    world.policy = Policy(max_megabytes=(deltas[0].blob.size + 4 * SIZE + 100) / 1e6)
    world.start()
    world.run(steps=5)
    world.say(asked_for(world, published[1], [], attempt=2, whole=True))
    found: list[Decline] = []
    assert world.run(until=lambda: found.extend(world.bodies(Decline)) or found)
    do_round(world, asked_for(world, published[1], deltas, attempt=3))
    assert world.trainer_started_from[-1] == to_bytes(published[1])
