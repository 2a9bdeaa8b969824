"""Devices fetch weights over HTTP where it is offered, check them all the same, and fall back to the broker."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgewise_coordinator.blob_server import BlobServer
from edgewise_edge.download import Download
from edgewise_edge.link import Identity, Link
from edgewise_wire import topics
from edgewise_wire.blobs import BlobStore, Content, chunk, chunk_count, make_ref
from edgewise_wire.clock import SystemClock
from edgewise_wire.codec import encode
from edgewise_wire.messages import BlobChunk, BlobRef, Envelope
from edgewise_wire.transport.base import Message
from edgewise_wire.transport.memory import MemoryBroker

DATA = bytes(200_000) + b"".join(n.to_bytes(4, "big") for n in range(150_000))
REF = make_ref(DATA)
ZEROS = 1  # the first chunk is nothing but zeros


class Scene:
    """A device that downloads one blob; the broker has its chunks."""

    def __init__(self, folder: Path) -> None:
        broker = MemoryBroker()
        self.asked: list[str] = []
        publisher, self.transport = broker.connect("coordinator"), broker.connect("pi")
        for index in range(chunk_count(REF)):
            body = BlobChunk(REF.hash, index, chunk(DATA, REF, index))
            topic = topics.blob_chunk("home", REF.hash, index)
            publisher.publish(topic, encode(Envelope("home", 1, index, body)), retain=True)
        original = self.transport.subscribe

        def subscribe(*filters: str) -> None:
            self.asked += [f for f in filters if "/blob/" in f]
            original(*filters)

        self.transport.subscribe = subscribe  # type: ignore[method-assign]
        self.link = Link(self.transport, Identity("home", "pi", 1))
        self.store = BlobStore(folder)

    def fetch(self, url: str) -> Download:
        download = Download(self.link, SystemClock(), self.store, 1, [REF], url)
        download.start()
        deadline = time.monotonic() + 20
        while not download.finished and time.monotonic() < deadline:
            event = self.transport.poll(0.01)
            heard = self.link.hear(event) if isinstance(event, Message) else None
            if heard is not None:
                download.hear(heard)
            download.tick()
        assert download.finished
        assert self.store.read(REF.hash) == DATA
        return download


@pytest.fixture
def serve() -> Iterator[Callable[[Content], str]]:
    servers: list[BlobServer] = []

    def start(data: Content, ref: BlobRef = REF) -> str:
        servers.append(BlobServer("127.0.0.1:0", lambda wanted: (ref, data) if wanted == ref.hash else None))
        return servers[-1].url

    yield start
    for server in servers:
        server.close()


def test_a_blob_comes_over_http_and_nothing_of_it_over_the_broker(
    tmp_path: Path, serve: Callable[[Content], str]
) -> None:
    scene = Scene(tmp_path)
    download = scene.fetch(serve(DATA))
    assert scene.asked == []
    assert download.bytes_down == len(DATA) - ZEROS * REF.chunk_bytes


def test_what_is_there_already_is_not_fetched_again(tmp_path: Path, serve: Callable[[Content], str]) -> None:
    scene = Scene(tmp_path)
    with scene.store.assembler(REF) as half:
        for index in (1, 2, 5):
            half.add(index, chunk(DATA, REF, index))
    download = scene.fetch(serve(DATA))
    assert download.bytes_down == len(DATA) - (ZEROS + 3) * REF.chunk_bytes


@pytest.mark.parametrize("wrong", ["http://127.0.0.1:9", "ftp://x/blob", "http://[broken", "not a url"])
def test_an_address_that_leads_nowhere_leaves_the_broker(wrong: str, tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.fetch(wrong)
    assert len(set(scene.asked)) == chunk_count(REF) - ZEROS


def test_a_server_that_lies_is_not_believed(tmp_path: Path, serve: Callable[[Content], str]) -> None:
    scene = Scene(tmp_path)
    lie = bytearray(DATA)
    lie[-300_000] ^= 1
    scene.fetch(serve(bytes(lie)))
    assert scene.asked  # what the lie was found in, and what came after it


def test_a_server_that_breaks_off_leaves_the_rest_to_the_broker(
    tmp_path: Path, serve: Callable[[Content], str]
) -> None:
    scene = Scene(tmp_path)
    download = scene.fetch(serve(DATA[:500_000]))
    assert 0 < len(set(scene.asked)) < chunk_count(REF) - ZEROS
    assert download.bytes_down == len(DATA) - ZEROS * REF.chunk_bytes
