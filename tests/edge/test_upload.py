"""Sending an update: nothing before a grant, never more than the window, nothing twice that is there."""

from __future__ import annotations

import pytest

from edgewise_edge import upload
from edgewise_edge.link import Heard, Identity, Link
from edgewise_edge.upload import Upload
from edgewise_wire.blobs import BlobAssembler, make_ref
from edgewise_wire.errors import DataError
from edgewise_wire.messages import ChunkAck, Range, UploadChunk, UploadGrant, UploadRequest

DATA = bytes(range(256)) * 20  # 52 chunks of 100 bytes, the last one shorter


@pytest.fixture
def phase(world, tmp_path):
    path = tmp_path / "update"
    path.write_bytes(DATA)
    link = Link(world.broker.connect("pi-7"), Identity("home", "pi-7", 1))
    link.up = True
    return Upload(link, world.clock, 1, UploadRequest(1, make_ref(DATA, 100), 5), path)


def hear(phase, body):
    phase.hear(Heard(1, 0, body))


def indices(world):
    return [body.index for body in world.bodies(UploadChunk)]


def test_nothing_is_sent_before_a_grant_and_the_request_is_repeated_every_ten_seconds(world, phase):
    phase.start()
    assert [type(body) for body in world.bodies()] == [UploadRequest]
    for _ in range(3):
        world.clock.advance(10.0)
        phase.tick()
        phase.tick()
    assert [type(body) for body in world.bodies()] == [UploadRequest] * 3
    assert phase.bytes_up == 0


@pytest.mark.parametrize("window", [1, 3, 64])
def test_never_more_than_the_window_is_unacknowledged_and_all_arrives(world, phase, tmp_path, window):
    phase.start()
    world.bodies()
    flying: set[int] = set()
    with BlobAssembler(make_ref(DATA, 100), tmp_path / "received") as assembler:
        hear(phase, UploadGrant(1, window))
        while not assembler.complete:
            for body in world.bodies(UploadChunk):
                assert body.index not in flying
                flying.add(body.index)
                assert len(flying) <= window
            index = min(flying)
            flying.discard(index)
            assembler.add(index, DATA[index * 100 : index * 100 + 100])
            hear(phase, ChunkAck(1, assembler.have()))
        assert assembler.finish().read_bytes() == DATA
    assert (phase.bytes_up, phase.progress.done, phase.progress.total) == (len(DATA), 52, 52)


def test_a_grant_is_bounded_by_what_a_small_device_can_hold(world, phase):
    hear(phase, UploadGrant(1, 65535))
    assert len(indices(world)) == min(52, upload.WINDOW_MAX)


def test_only_what_is_missing_is_sent(world, phase):
    hear(phase, UploadGrant(1, 10, (Range(0, 40), Range(43, 50))))
    assert indices(world) == [41, 42, 51]


def test_a_new_grant_is_the_whole_truth_even_if_it_knows_less(world, phase):
    hear(phase, UploadGrant(1, 2, (Range(0, 49),)))
    assert indices(world) == [50, 51]
    hear(phase, UploadGrant(1, 2))
    assert indices(world) == [0, 1]


def test_an_acknowledgement_without_news_does_not_put_off_the_question(world, phase):
    hear(phase, UploadGrant(1, 2))
    world.bodies()
    for _ in range(4):
        world.clock.advance(3.0)
        hear(phase, ChunkAck(1))
        if world.clock.now() >= phase.due:
            phase.tick()
    assert [type(body) for body in world.bodies()] == [UploadRequest]


def test_chunks_lost_on_the_way_are_sent_again_after_the_next_grant(world, phase):
    hear(phase, UploadGrant(1, 3))
    assert indices(world) == [0, 1, 2]
    world.clock.advance(10.0)
    phase.tick()
    hear(phase, ChunkAck(1, (Range(1, 1),)))
    assert indices(world) == []  # not before the grant
    hear(phase, UploadGrant(1, 3, (Range(1, 1),)))
    assert indices(world) == [0, 2, 3]


def test_an_update_that_changed_on_the_disk_is_never_sent(world, phase):
    phase._path.write_bytes(b"\0" * len(DATA))
    with pytest.raises(DataError, match="changed"):
        hear(phase, UploadGrant(1, 3))
    assert indices(world) == []


def test_a_full_outbox_stops_the_sending_and_the_silence_asks_again(world, phase):
    hear(phase, UploadGrant(1, 3))
    phase._link.up = False
    hear(phase, ChunkAck(1, (Range(0, 2),)))
    assert phase.bytes_up == 300
    phase._link.up = True
    world.bodies()
    world.clock.advance(10.0)
    phase.tick()
    assert [type(body) for body in world.bodies()] == [UploadRequest]
