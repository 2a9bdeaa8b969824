"""What waits between the owner's thread and the thread that holds the socket: bounded boxes, and a bell to wake it."""

from __future__ import annotations

import contextlib
import queue
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from edgewise_wire.errors import TransportError
from edgewise_wire.transport.base import Event, Message

_PUBLISH_OVERHEAD = 16  # bytes of a PUBLISH packet besides topic and payload, rounded up


class Outgoing(NamedTuple):
    """One message to publish."""

    topic: str
    payload: bytes
    retain: bool
    qos: int

    @property
    def size(self) -> int:
        """Bytes on the wire, rounded up."""
        return len(self.payload) + len(self.topic) + _PUBLISH_OVERHEAD


@dataclass(frozen=True, slots=True)
class Limit:
    """How much a box may hold: messages, and bytes of payload."""

    messages: int
    bytes: int


class Outbox:
    """Messages that wait to be sent, oldest first, and the count of those not yet settled (sent and acknowledged)."""

    def __init__(self, limit: Limit) -> None:
        self.pending = 0
        self._pending_bytes = 0
        self._limit = limit
        self._lock = threading.Lock()
        self._waiting: deque[Outgoing] = deque()

    def add(self, message: Outgoing) -> None:
        """Append a message.

        Raises:
            TransportError: if the box is full.
        """
        with self._lock:
            after = self._pending_bytes + len(message.payload)
            if self.pending >= self._limit.messages or after > self._limit.bytes:
                raise TransportError(
                    f"publish to {message.topic!r}: {self.pending} messages ({self._pending_bytes} bytes) wait for the "
                    f"broker already, expected at most {self._limit.messages} ({self._limit.bytes}); "
                    "publish more slowly, watching `pending`"
                )
            self._waiting.append(message)
            self.pending += 1
            self._pending_bytes = after

    def first(self) -> Outgoing | None:
        """Return the oldest waiting message and leave it there."""
        return self._waiting[0] if self._waiting else None

    def take_first(self) -> None:
        """Remove the oldest waiting message; it stays pending until it is settled."""
        with self._lock:
            self._waiting.popleft()

    def settle(self, message: Outgoing) -> None:
        """Count a message as done."""
        with self._lock:
            self.pending -= 1
            self._pending_bytes -= len(message.payload)

    def give_back(self, unacknowledged: Iterable[Outgoing]) -> None:
        """Put what a lost link left unacknowledged in front again; messages of QoS 0 are gone with the link."""
        with self._lock:
            everything = [*unacknowledged, *self._waiting]
            self._waiting = deque(message for message in everything if message.qos)
        for message in everything:
            if not message.qos:
                self.settle(message)


class Inbox:
    """Events that wait for `poll`. When messages fill it, `is_full` says so and the socket is left unread."""

    def __init__(self, limit: Limit, on_room: Callable[[], None]) -> None:
        self._limit = limit
        self._on_room = on_room
        self._lock = threading.Lock()
        self._messages = 0
        self._bytes = 0
        self._queue: queue.SimpleQueue[Event | TransportError | None] = queue.SimpleQueue()

    @property
    def is_full(self) -> bool:
        """Whether no more should be read."""
        return self._messages >= self._limit.messages or self._bytes >= self._limit.bytes

    def put(self, item: Event | TransportError | None) -> None:
        """Append an event, an error for `get` to raise, or `None` to wake whoever waits."""
        if isinstance(item, Message):
            with self._lock:
                self._messages += 1
                self._bytes += len(item.payload)
        self._queue.put(item)

    def get(self, timeout: float) -> Event | None:
        """Return the next event, waiting `timeout` seconds at most; `None` if there was none.

        Raises:
            TransportError: if that is what was put.
        """
        try:
            item = self._queue.get(timeout=timeout) if timeout > 0 else self._queue.get_nowait()
        except queue.Empty:
            return None
        if isinstance(item, TransportError):
            raise item
        if isinstance(item, Message):
            self._make_room(len(item.payload))
        return item

    def _make_room(self, size: int) -> None:
        with self._lock:
            was_full = self.is_full
            self._messages -= 1
            self._bytes -= size
            has_room = was_full and not self.is_full
        if has_room:
            self._on_room()


class Bell:
    """Wakes a thread that waits in a selector, from any other thread."""

    def __init__(self) -> None:
        self.reader, self._writer = socket.socketpair()
        self.reader.setblocking(False)
        self._writer.setblocking(False)
        self._rung = False

    def ring(self) -> None:
        """Make `reader` readable."""
        if not self._rung:  # one byte is enough; a lost race costs a second one
            self._rung = True
            with contextlib.suppress(OSError):
                self._writer.send(b"!")

    def silence(self) -> None:
        """Take the ring back; look at what it was for after this, not before."""
        with contextlib.suppress(OSError):
            self.reader.recv(4096)
        self._rung = False

    def wait(self, seconds: float, *, until: Callable[[], bool]) -> None:
        """Wait, but no longer than until `until` holds; it is looked at after each ring."""
        deadline = time.monotonic() + seconds
        with selectors.DefaultSelector() as selector:
            selector.register(self.reader, selectors.EVENT_READ)
            while not until() and (left := deadline - time.monotonic()) > 0:
                if selector.select(left):
                    self.silence()

    def close(self) -> None:
        """Close both ends."""
        self.reader.close()
        self._writer.close()
