"""Many devices in one process, over real sockets: they follow the protocol and send prepared updates.

`python benchmarks/light_fleet.py SETTINGS` where SETTINGS is a JSON object (see `Fleet`). Prints `ready` when every
device is connected, runs until its standard input ends, then prints what it counted as one JSON line.
A client of its own because 2,000 threads of paho would measure paho.
"""

from __future__ import annotations

import json
import resource
import selectors
import socket
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from edgewise_wire import topics
from edgewise_wire.blobs import chunk_count, chunk_length, is_zeros, make_ref
from edgewise_wire.codec import decode, encode
from edgewise_wire.messages import (
    Abort,
    Accept,
    Assignment,
    BlobRef,
    Body,
    CheckIn,
    ChunkAck,
    ComeBackLater,
    Envelope,
    Presence,
    ReportAck,
    UploadChunk,
    UploadGrant,
    UploadRequest,
)
from edgewise_wire.ranges import ChunkSet

READ_BYTES = 1 << 18
WINDOW = 8  # blob topics asked for at once, as the real device does
UPDATES = 8  # different prepared updates


def prepared_update(number: int, parameters: int) -> np.ndarray:
    """Return the update of every device whose number is `number` modulo UPDATES."""
    return np.random.default_rng(number % UPDATES).normal(0, 1e-3, parameters).astype("<f4")


def examples_of(number: int) -> int:
    """Return how many examples a device says it has."""
    return 10 + number % 7


def packet(first: int, *parts: bytes) -> list[bytes]:
    """Return an MQTT packet as a list of buffers: its fixed header, then `parts`."""
    length, header = sum(map(len, parts)), bytearray([first])
    while True:
        length, digit = divmod(length, 128)
        header.append(digit | (0x80 if length else 0))
        if not length:
            return [bytes(header), *parts]


def text(value: str) -> bytes:
    """Return an MQTT string."""
    data = value.encode()
    return len(data).to_bytes(2, "big") + data


@dataclass
class Counts:
    """What a fleet's sockets carried and what its devices were told."""

    bytes_sent: int = 0
    bytes_received: int = 0
    chunks_sent: int = 0
    blob_chunks: int = 0
    graph_bytes: int = 0
    acknowledged: int = 0
    refused: int = 0
    aborted: int = 0
    disconnected: int = 0
    connected: int = 0
    last_ack: dict[int, float] = field(default_factory=dict)
    first_assignment: dict[int, float] = field(default_factory=dict)


class Device:
    """One device: a socket, what waits to be sent, and where it stands in its round."""

    def __init__(self, fleet: Fleet, number: int) -> None:
        self.fleet = fleet
        self.number = number
        self.name = f"d{number:05}"
        self.topic_up = text(topics.device_up(fleet.name, self.name))
        self.topic_down = topics.device_down(fleet.name, self.name).encode()
        self.out: deque[memoryview] = deque()
        self.buffer = bytearray()
        self.socket = socket.create_connection(fleet.address)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.round = 0
        self.work: Assignment | None = None
        self.wanted: list[tuple[BlobRef, int]] = []
        self.asked: set[bytes] = set()
        self.has_graph = False
        self.have: ChunkSet | None = None
        self.flying: set[int] = set()
        self.window = 0
        self._ids = 0
        will = self._envelope(Presence(online=False, session=1), 0)
        state = topics.device_state(fleet.name, self.name)
        flags = 0b0010_0110  # will, retained, of QoS 0; clean session
        head = text("MQTT") + bytes([4, flags, 0, 0])
        self.send(packet(0x10, head, text(self.name), text(state), len(will).to_bytes(2, "big") + will))
        self.send(packet(0x82, self._id(), len(self.topic_down).to_bytes(2, "big") + self.topic_down, b"\x01"))
        self.publish(text(state), self._envelope(Presence(online=True, session=1), 0), retain=True)

    # The socket.

    def send(self, buffers: list[bytes]) -> None:
        """Queue buffers for the socket and send what it takes."""
        was_empty = not self.out
        self.out.extend(memoryview(b) for b in buffers if b)
        if was_empty:
            self.flush()

    def flush(self) -> None:
        """Send what waits, as far as the socket takes it."""
        try:
            while self.out:
                sent = self.socket.sendmsg([*self.out][:64])
                self.fleet.counts.bytes_sent += sent
                while sent and sent >= len(self.out[0]):
                    sent -= len(self.out.popleft())
                if sent:
                    self.out[0] = self.out[0][sent:]
        except BlockingIOError:
            pass
        self.fleet.watch(self, writing=bool(self.out))

    def read(self) -> None:
        """Read what has come and handle every whole packet."""
        try:
            data = self.socket.recv(READ_BYTES)
        except BlockingIOError:
            return
        if not data:
            self.fleet.lose(self)
            return
        self.fleet.counts.bytes_received += len(data)
        self.buffer += data
        while (taken := self._packet()) is not None:
            del self.buffer[:taken]

    def _packet(self) -> int | None:
        """Handle the packet at the buffer's start; return its length, or None if it is not whole yet."""
        length, shift, at = 0, 0, 1
        while True:
            if at >= len(self.buffer):
                return None
            byte = self.buffer[at]
            length |= (byte & 0x7F) << shift
            shift, at = shift + 7, at + 1
            if not byte & 0x80:
                break
        if len(self.buffer) < at + length:
            return None
        kind = self.buffer[0] >> 4
        if kind == 2:
            self.fleet.counts.connected += 1
        elif kind == 9 and self.buffer[at + length - 1] < 128 and not self.round and self.work is None:
            self.check_in()
        elif kind == 3:
            with memoryview(self.buffer) as view:
                self._published(view[at : at + length], self.buffer[0])
        return at + length

    def _published(self, body: memoryview, first: int) -> None:
        size = int.from_bytes(body[:2], "big")
        topic, at = bytes(body[2 : 2 + size]), 2 + size
        if first & 0x06:
            self.send(packet(0x40, bytes(body[at : at + 2])))
            at += 2
        if topic == self.topic_down:
            self.hear(decode(bytes(body[at:])))
        else:
            self._blob_chunk(topic, len(body) - at)

    def publish(self, topic: bytes, payload: bytes, *, retain: bool = False) -> None:
        """Publish with QoS 1."""
        self.send(packet(0x32 | retain, topic, self._id(), payload))

    def _id(self) -> bytes:
        self._ids = self._ids % 65_535 + 1
        return self._ids.to_bytes(2, "big")

    # The protocol.

    def _envelope(self, body: Body, round_id: int | None = None) -> bytes:
        self.fleet.message_id += 1
        number = self.round if round_id is None else round_id
        return encode(Envelope(self.fleet.name, number, self.fleet.message_id, body))

    def say(self, body: Body) -> None:
        """Say something to the coordinator."""
        self.publish(self.topic_up, self._envelope(body))

    def check_in(self) -> None:
        """Offer this device."""
        self.say(CheckIn(session=1, train_examples=examples_of(self.number), held_out_examples=2))

    def hear(self, envelope: Envelope) -> None:
        """Do what the coordinator says."""
        body, counts = envelope.body, self.fleet.counts
        if isinstance(body, Assignment):
            self._assigned(envelope.round, body)
        elif isinstance(body, UploadGrant):
            assert self.have is not None
            self.have = ChunkSet(self.have.count, body.have)
            self.flying.clear()
            self.window = body.window
            self._upload()
        elif isinstance(body, ChunkAck):
            assert self.have is not None
            self.have.update(body.have)
            self.flying.difference_update(self.have)
            self._upload()
        elif isinstance(body, ReportAck | Abort):
            if isinstance(body, ReportAck):
                counts.acknowledged += body.accepted
                counts.refused += not body.accepted
                counts.last_ack[envelope.round] = time.monotonic()
            else:
                counts.aborted += 1
            self._stop_downloading()
            self.work = None
            self.check_in()
        elif isinstance(body, ComeBackLater) and self.work is None:
            self.check_in()

    def _assigned(self, round_id: int, work: Assignment) -> None:
        if self.work is not None and self.round == round_id:
            return
        self.round, self.work = round_id, work
        self.fleet.counts.first_assignment.setdefault(round_id, time.monotonic())
        self.say(Accept(work.attempt))
        refs = [work.weights] if self.has_graph else [work.graph, work.weights]
        self.wanted = [(ref, i) for ref in refs for i in range(chunk_count(ref)) if not is_zeros(ref, i)]
        self.wanted.reverse()
        self.asked = set()
        self._download()

    def _download(self) -> None:
        fresh = []
        while self.wanted and len(self.asked) < WINDOW:
            ref, index = self.wanted.pop()
            topic = topics.blob_chunk(self.fleet.name, ref.hash, index).encode()
            self.asked.add(topic)
            fresh.append(topic)
        if fresh:
            filters = b"".join(len(t).to_bytes(2, "big") + t + b"\x01" for t in fresh)
            self.send(packet(0x82, self._id(), filters))
        elif not self.asked:
            self.has_graph = True
            self._report()

    def _blob_chunk(self, topic: bytes, size: int) -> None:
        if topic not in self.asked or not size:
            return
        self.fleet.counts.blob_chunks += 1
        if self.work is not None and self.work.graph.hash.hex().encode() in topic:
            self.fleet.counts.graph_bytes += size
        self.asked.discard(topic)
        self.send(packet(0xA2, self._id(), len(topic).to_bytes(2, "big") + topic))
        if len(self.asked) <= WINDOW // 2 or not self.wanted:
            self._download()

    def _stop_downloading(self) -> None:
        for topic in self.asked:
            self.send(packet(0xA2, self._id(), len(topic).to_bytes(2, "big") + topic))
        self.asked, self.wanted = set(), []

    def _report(self) -> None:
        assert self.work is not None
        _, ref = self.fleet.updates[self.number % UPDATES]
        self.have = ChunkSet(chunk_count(ref))
        self.flying = set()
        self.say(UploadRequest(self.work.attempt, ref, examples_of(self.number), 1.0, 1, 0.0, "float32"))

    def _upload(self) -> None:
        if self.work is None or self.have is None:
            return
        data, ref = self.fleet.updates[self.number % UPDATES]
        for index in range(self.have.count):
            if len(self.flying) >= self.window:
                return
            if index not in self.have and index not in self.flying:
                at = index * ref.chunk_bytes
                piece = data[at : at + chunk_length(ref, index)]
                self.flying.add(index)
                self.fleet.counts.chunks_sent += 1
                self.say(UploadChunk(self.work.attempt, index, piece))


class Fleet:
    """The devices of this process and the loop that serves them."""

    def __init__(self, url: str, name: str, first: int, devices: int, parameters: int) -> None:
        parts = urlsplit(url)
        self.address = (parts.hostname or "127.0.0.1", parts.port or 1883)
        self.name = name
        self.counts = Counts()
        self.message_id = first << 32
        self.updates = []
        for number in range(UPDATES):
            data = prepared_update(number, parameters).tobytes()
            self.updates.append((data, make_ref(data)))
        self._selector = selectors.DefaultSelector()
        self._selector.register(sys.stdin, selectors.EVENT_READ)
        self._watched: dict[int, int] = {}
        self.devices = []
        for number in range(first, first + devices):
            self.devices.append(Device(self, number))
            self.serve(0.0)

    def watch(self, device: Device, *, writing: bool) -> None:
        """Wait for the socket to be readable, and writable if something waits."""
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if writing else 0)
        number = device.socket.fileno()
        if number not in self._watched:
            self._selector.register(device.socket, wanted, device)
        elif self._watched[number] != wanted:
            self._selector.modify(device.socket, wanted, device)
        self._watched[number] = wanted

    def lose(self, device: Device) -> None:
        """Note that the broker closed a link: that is one of the things this benchmark must not show."""
        self.counts.disconnected += 1
        del self._watched[device.socket.fileno()]
        self._selector.unregister(device.socket)
        device.socket.close()

    def serve(self, timeout: float) -> bool:
        """Serve what is ready; return whether standard input has ended."""
        for key, mask in self._selector.select(timeout):
            if key.data is None:
                if not sys.stdin.buffer.raw.read(1):  # type: ignore[attr-defined]
                    return True
                continue
            if mask & selectors.EVENT_WRITE:
                key.data.flush()
            if mask & selectors.EVENT_READ:
                key.data.read()
        return False


def main(settings: dict[str, Any]) -> None:
    """Run the fleet that `settings` describes."""
    fleet = Fleet(**settings)
    while fleet.counts.connected < len(fleet.devices):
        fleet.serve(0.1)
    print("ready", flush=True)
    while not fleet.serve(1.0):
        pass
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps(fleet.counts.__dict__ | {"cpu_seconds": used.ru_utime + used.ru_stime}), flush=True)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
