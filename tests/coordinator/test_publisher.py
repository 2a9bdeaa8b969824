"""What is on the broker: every chunk that is not of zeros, once, and nothing that nobody needs any more."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from coordinator_scene import Scene
from edgewise_wire import topics
from edgewise_wire.blobs import CHUNK_BYTES, make_ref
from edgewise_wire.messages import BlobRequest, Range

Make = Callable[..., Scene]


def on_the_broker(scene: Scene) -> dict[str, set[int]]:
    """Return the retained chunks: indices by blob hash."""
    found: dict[str, set[int]] = {}
    for topic, payload in scene.broker.retained().items():
        if "/blob/" in topic and payload:
            _, blob_hash, index = topic.rsplit("/", 2)
            found.setdefault(blob_hash, set()).add(int(index))
    return found


def test_chunks_of_zeros_are_not_published_even_when_asked_for(scene: Make) -> None:
    s = scene(goal=1, rounds=1)
    s.coordinator.step(0.0)
    data = bytes(CHUNK_BYTES) + b"x" * CHUNK_BYTES + bytes(CHUNK_BYTES + 5)
    ref = make_ref(data)
    s.coordinator.publisher.offer(ref, data)
    assert on_the_broker(s)[ref.hash.hex()] == {1}
    s.clock.advance(60.0)
    s.coordinator.publisher.again(BlobRequest(ref.hash, (Range(0, 3),)))
    s.coordinator.step(0.0)
    assert on_the_broker(s)[ref.hash.hex()] == {1}
    s.coordinator.publisher.withdraw(ref.hash)
    assert ref.hash.hex() not in on_the_broker(s)


def test_the_graph_travels_without_its_zeros(scene: Make) -> None:
    s = scene(goal=1, rounds=1)
    s.join("d1")
    s.settle()
    graph = s.coordinator.model.offers.graph
    assert graph.size > 4 * len(s.coordinator.weights)
    assert on_the_broker(s)[graph.hash.hex()] == {0}  # the name before the weights; the other three chunks are zeros


def test_a_coordinator_takes_off_what_a_killed_one_left(scene: Make) -> None:
    s = scene(goal=1, rounds=3)
    s.join("d1")
    s.devices["d1"].send_chunks = False
    s.settle()
    before = on_the_broker(s)
    s.broker.cut("coordinator")  # as if killed between two rounds: nothing is taken off
    store = s.coordinator.store
    weights = np.zeros_like(s.coordinator.weights) + np.float32(0.5)
    s.coordinator.model.versions.save(0, weights, {})
    store.close()
    s.start()
    s.settle()
    after = on_the_broker(s)
    graph = s.coordinator.model.offers.graph.hash.hex()
    assert set(before) & set(after) == {graph}
    assert set(after) == {graph, make_ref(weights.tobytes()).hash.hex()}


def test_an_orderly_end_leaves_nothing_behind(scene: Make) -> None:
    s = scene(goal=1, rounds=1)
    s.join("d1")
    s.run()
    s.coordinator.close()
    assert on_the_broker(s) == {}
    assert topics.ROOT in next(iter(s.broker.retained()))
