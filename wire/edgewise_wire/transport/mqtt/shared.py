"""What the owner's thread and the thread that holds the socket have in common."""

from __future__ import annotations

import ssl
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from edgewise_wire.transport.address import BrokerAddress
from edgewise_wire.transport.base import Will
from edgewise_wire.transport.mailbox import Bell, Inbox, Outbox
from edgewise_wire.transport.pacing import Pacer

MESSAGE_MAX = 2 * 1024 * 1024  # bytes; a larger one never was edgewise's; MQTT itself would allow 256 MiB


@dataclass(frozen=True, slots=True)
class Settings:
    """What stays the same over all connections of a transport."""

    address: BrokerAddress
    client_id: str
    will: Will | None
    username: str | None
    password: str | None = field(repr=False)
    tls: ssl.SSLContext | None
    shows_certificate: bool
    v5: bool
    keepalive: int


class Filters:
    """The topic filters asked for, and the requests that the present link has not sent yet."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wanted: dict[str, None] = {}
        self._requests: deque[tuple[bool, tuple[str, ...]]] = deque()

    def ask(self, filters: tuple[str, ...], *, wanted: bool) -> None:
        """Note that these filters are wanted from now on, or no longer."""
        with self._lock:
            for pattern in filters:
                self._wanted.pop(pattern, None)
                if wanted:
                    self._wanted[pattern] = None
            self._requests.append((wanted, filters))

    def renew(self) -> tuple[str, ...]:
        """Return all that is wanted, and forget single requests: for a new link."""
        with self._lock:
            self._requests.clear()
            return tuple(self._wanted)

    def requests(self) -> list[tuple[bool, tuple[str, ...]]]:
        """Return the new requests, (subscribe?, filters), in their order."""
        if not self._requests:
            return []
        with self._lock:
            requests = list(self._requests)
            self._requests.clear()
            return requests


@dataclass(slots=True)
class Shared:
    """A transport's parts that both threads use; each guards itself."""

    settings: Settings
    filters: Filters
    inbox: Inbox
    outbox: Outbox
    pacer: Pacer
    bell: Bell
    clock: Callable[[], float]
    close_by: float | None = None  # when set, the transport is closing and flushes until then

    @property
    def closing(self) -> bool:
        """Whether the owner has said `close`."""
        return self.close_by is not None
