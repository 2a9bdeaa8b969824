"""Putting blobs on the broker: each chunk once, retained, for all to read; never more than a few in flight."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from edgewise_coordinator.faults import FaultHook, FaultPoint, no_fault
from edgewise_wire.blobs import Content, chunk, chunk_count, is_zeros
from edgewise_wire.clock import Clock
from edgewise_wire.errors import TransportError
from edgewise_wire.messages import BlobChunk, BlobRef, BlobRequest, Body
from edgewise_wire.topics import blob_chunk
from edgewise_wire.transport.base import Transport

IN_FLIGHT = 16  # chunks handed to the transport and not yet acknowledged by the broker: 2 MiB
REPEAT_AFTER = 2.0  # seconds in which a chunk that many devices miss is published again only once


@dataclass(frozen=True, slots=True)
class Blob:
    """A blob that is on offer: its reference and its bytes, or the file that has them."""

    ref: BlobRef
    data: Content


class BlobPublisher:
    """Publishes blobs chunk by chunk as the broker takes them, and again when someone says they are missing.

    `encode(body)` wraps a body into an envelope's bytes. `url` is where devices may fetch the same blobs over HTTP,
    told with every assignment; empty if nowhere.
    """

    def __init__(
        self,
        fleet: str,
        transport: Transport,
        clock: Clock,
        encode: Callable[[Body], bytes],
        fault: FaultHook = no_fault,
    ) -> None:
        self._fleet = fleet
        self._transport = transport
        self._clock = clock
        self._encode = encode
        self._fault = fault
        self._blobs: dict[bytes, Blob] = {}
        self._queue: deque[tuple[bytes, int]] = deque()
        self._queued: set[tuple[bytes, int]] = set()
        self._published: dict[tuple[bytes, int], float] = {}
        self.bytes_published = 0
        self.url = ""

    def offer(self, ref: BlobRef, data: Content) -> None:
        """Put a blob on offer; offering it again does nothing."""
        if ref.hash in self._blobs:
            return
        self._blobs[ref.hash] = Blob(ref, data)
        for index in range(chunk_count(ref)):
            self._enqueue(ref, index)
        self.pump()

    def find(self, blob_hash: bytes) -> tuple[BlobRef, Content] | None:
        """Return the blob on offer under a hash; may be called from any thread."""
        blob = self._blobs.get(blob_hash)
        return None if blob is None else (blob.ref, blob.data)

    def withdraw(self, blob_hash: bytes) -> None:
        """Take a blob off the broker: an empty retained message clears a topic (MQTT 3.1.1 §3.3.1.3)."""
        blob = self._blobs.pop(blob_hash, None)
        if blob is None:
            return
        for index in range(chunk_count(blob.ref)):
            if self._published.pop((blob_hash, index), None) is not None:
                self._clear(blob_hash, index)

    def clear(self, blob_hash: bytes, chunks: int) -> None:
        """Take a blob off the broker that an earlier process may have put there."""
        if blob_hash not in self._blobs:
            for index in range(chunks):
                self._clear(blob_hash, index)

    def _clear(self, blob_hash: bytes, index: int) -> None:
        with contextlib.suppress(TransportError):  # the outbox is full: the chunk stays retained, which costs room only
            self._transport.publish(blob_chunk(self._fleet, blob_hash, index), b"", retain=True)

    def again(self, request: BlobRequest) -> None:
        """Publish chunks again that a device did not find; unknown blobs and indices are ignored."""
        blob = self._blobs.get(request.hash)
        if blob is None:
            return
        count = chunk_count(blob.ref)
        last = -1
        for span in sorted(request.missing, key=lambda r: r.first):  # each chunk once, however the ranges overlap
            first, last = max(span.first, last + 1), max(last, min(span.last, count - 1))
            for index in range(first, last + 1):
                key = (request.hash, index)
                if self._clock.now() - self._published.get(key, -REPEAT_AFTER) >= REPEAT_AFTER:
                    self._enqueue(blob.ref, index)

    @property
    def busy(self) -> bool:
        """Whether chunks wait for the transport to have room."""
        return bool(self._queue)

    def pump(self) -> bool:
        """Hand over what the transport can take now; return whether everything has been handed over."""
        while self._queue and self._transport.pending < IN_FLIGHT:
            key = self._queue.popleft()
            self._queued.discard(key)
            blob = self._blobs.get(key[0])
            if blob is None:
                continue
            payload = self._encode(BlobChunk(key[0], key[1], bytes(chunk(blob.data, blob.ref, key[1]))))
            self._transport.publish(blob_chunk(self._fleet, *key), payload, retain=True)
            self._published[key] = self._clock.now()
            self.bytes_published += len(payload)
            self._fault(FaultPoint.BLOB_PUBLISHED)
        return not self._queue

    def _enqueue(self, ref: BlobRef, index: int) -> None:
        key = (ref.hash, index)
        if key not in self._queued and not is_zeros(ref, index):  # receivers know what zeros look like
            self._queued.add(key)
            self._queue.append(key)
