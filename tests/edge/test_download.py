"""Fetching blobs: a bounded window of topics, every chunk checked, nothing fetched twice."""

from __future__ import annotations

import pytest

from edgewise_edge import download
from edgewise_edge.download import Download
from edgewise_edge.link import Identity, Link
from edgewise_wire import topics
from edgewise_wire.blobs import BlobStore, chunk
from edgewise_wire.errors import UnavailableError
from edgewise_wire.messages import BlobRequest, Range
from edgewise_wire.transport.base import Connected, Message

GRAPH, WEIGHTS = bytes(range(250)) * 40, b"w" * 1234  # 20 chunks and 3


@pytest.fixture
def link(world):
    made = Link(world.broker.connect("pi-7"), Identity("home", "pi-7", 1))
    made.up = True
    return made


def fetch(world, link, refs):
    return Download(link, world.clock, BlobStore(world.home.blobs), 1, refs)


def pump(link, phase, most=1000):
    """Hand on what came; return the topics that were subscribed to at the busiest moment."""
    busiest = 0
    for _ in range(most):
        event = link.transport.poll()
        if event is None:
            break
        if isinstance(event, Message) and (heard := link.hear(event)) is not None:
            phase.hear(heard)
        busiest = max(busiest, len(link.transport._subscriptions))
    return busiest


def test_all_blobs_come_through_a_bounded_window_and_no_topic_stays_subscribed(world, link):
    refs = [world.offer(GRAPH), world.offer(WEIGHTS)]
    phase = fetch(world, link, refs)
    phase.start()
    assert pump(link, phase) == download.WINDOW
    assert phase.finished
    assert [BlobStore(world.home.blobs).read(ref.hash) for ref in refs] == [GRAPH, WEIGHTS]
    assert (phase.progress.done, phase.progress.total, phase.bytes_down) == (23, 23, len(GRAPH) + len(WEIGHTS))
    assert not link.transport._subscriptions


def test_what_is_there_already_costs_nothing(world, link):
    BlobStore(world.home.blobs).put(GRAPH, 500)
    phase = fetch(world, link, [world.offer(GRAPH), world.offer(WEIGHTS)])
    phase.start()
    pump(link, phase)
    assert (phase.finished, phase.bytes_down) == (True, len(WEIGHTS))


def test_a_stopped_download_goes_on_where_it_was(world, link):
    ref = world.offer(GRAPH)
    first = fetch(world, link, [ref])
    first.start()
    pump(link, first, most=12)
    first.stop()
    assert 0 < first.bytes_down < len(GRAPH)
    assert not link.transport._subscriptions
    while link.transport.poll() is not None:
        pass
    second = fetch(world, link, [ref])
    second.start()
    pump(link, second)
    assert second.finished
    assert first.bytes_down + second.bytes_down == len(GRAPH)


def test_a_corrupt_chunk_is_refused_counted_and_asked_for_again(world, link):
    ref = world.offer(GRAPH, without=(3,))
    world.put_chunk(ref, 3, b"\0" * 500)
    phase = fetch(world, link, [ref])
    phase.start()
    pump(link, phase)
    assert not phase.finished
    assert link.dropped == {"corrupt": 1}
    world.clock.advance(10.1)
    phase.tick()
    assert world.bodies(BlobRequest) == [BlobRequest(ref.hash, (Range(3, 3),))]
    world.put_chunk(ref, 3, chunk(GRAPH, ref, 3))
    pump(link, phase)
    assert phase.finished


def test_a_broker_that_lost_everything_is_told_so_at_once(world, link):
    ref = world.offer(GRAPH, without=tuple(range(20)))
    phase = fetch(world, link, [ref])
    phase.start()
    pump(link, phase)
    world.clock.advance(10.1)
    phase.tick()
    assert world.bodies(BlobRequest) == [BlobRequest(ref.hash, (Range(0, 19),))]


def test_corrupt_chunks_cannot_put_off_the_moment_to_ask(world, link):
    ref = world.offer(GRAPH, without=(3,))
    phase = fetch(world, link, [ref])
    phase.start()
    pump(link, phase)
    for _ in range(4):
        world.clock.advance(3.0)
        world.put_chunk(ref, 3, b"\0" * 500)
        pump(link, phase)
        phase.tick()
    assert len(world.bodies(BlobRequest)) == 1


def test_chunks_nobody_asked_for_are_ignored(world, link):
    ref, other = world.offer(GRAPH, without=(0,)), world.offer(WEIGHTS)
    link.transport.subscribe("ew/1/home/blob/#")
    phase = fetch(world, link, [ref])
    phase.start()
    world.put_chunk(other, 0, WEIGHTS[:500])
    world.put_chunk(ref, 10_000, b"x")
    pump(link, phase)
    assert (phase.finished, phase.bytes_down) == (False, len(GRAPH) - 500)
    assert not BlobStore(world.home.blobs).has(other.hash)


def test_a_chunk_on_the_wrong_topic_is_dropped(world, link):
    ref = world.offer(GRAPH, without=(0,))
    phase = fetch(world, link, [ref])
    phase.start()
    pump(link, phase)
    wrong = world.broker.retained()[topics.blob_chunk("home", ref.hash, 1)]
    world.coordinator.publish(topics.blob_chunk("home", ref.hash, 0), wrong, retain=True)
    pump(link, phase)
    assert link.dropped == {"misplaced": 1}


def test_a_disk_that_refuses_ends_it_with_an_error_that_says_so(world, link):
    world.home.blobs.rmdir()
    world.home.blobs.write_text("not a folder")
    phase = fetch(world, link, [world.offer(GRAPH)])
    with pytest.raises(UnavailableError, match="cannot be written"):
        phase.start()


def test_the_silence_is_counted_from_the_reconnect(world, link):
    phase = fetch(world, link, [world.offer(GRAPH, without=(5,))])
    phase.start()
    world.clock.advance(9.0)
    phase.connected()
    assert phase.due == world.clock.now() + download.SILENCE_SECONDS
    assert isinstance(link.transport.poll(), Connected)
