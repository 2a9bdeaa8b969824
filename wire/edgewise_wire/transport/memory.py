"""A broker and its links inside one process: the simulator's transport, and the tests'.

It keeps what MQTT promises and edgewise uses: retained messages, `+` and `#`, wills on abrupt loss, clean sessions,
at-least-once delivery and order per topic. A message is routed inside `publish`, in the order in which clients
subscribed, so a single-threaded run is deterministic; a lock makes it usable from several threads.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from edgewise_wire.errors import ConfigError, TransportError
from edgewise_wire.transport.base import Connected, Disconnected, Event, Message, Will
from edgewise_wire.transport.filters import check_filter, check_topic, has_wildcard, matcher

_ROUTES_MAX = 1 << 16  # topics whose matching filters are remembered: blob topics change every round


@dataclass(frozen=True, slots=True)
class Faults:
    """How often a delivery goes wrong, each a probability in [0, 1].

    `drop` loses it (as a full broker queue does), `duplicate` delivers it twice (as QoS 1 may), `reorder` lets it
    overtake one message that still waits in the receiver's inbox.
    """

    drop: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0


@dataclass(slots=True)
class Traffic:
    """What a `MemoryBroker` has carried: messages in, messages out, messages lost, and payload bytes."""

    published: int = 0
    published_bytes: int = 0
    delivered: int = 0
    delivered_bytes: int = 0
    dropped: int = 0


class MemoryBroker:
    """A broker in memory; `connect` gives a link to it.

    Args:
        queue_limit: messages that may wait for one client; more are dropped and counted, as Mosquitto drops past 1,000.
            `None` means no limit.
        faults: how often deliveries go wrong; needs `rng`.
        rng: where the faults' dice come from.

    Example:
        >>> broker = MemoryBroker()
        >>> device, coordinator = broker.connect("pi-7"), broker.connect("coordinator")
        >>> coordinator.subscribe("ew/1/home/device/+/up")
        >>> device.publish("ew/1/home/device/pi-7/up", b"hello")
        >>> coordinator.poll(), coordinator.poll()
        (Connected(), Message(topic='ew/1/home/device/pi-7/up', payload=b'hello', retained=False))
    """

    def __init__(
        self,
        *,
        queue_limit: int | None = None,
        faults: Faults | None = None,
        rng: np.random.Generator | None = None,
    ) -> None:
        if faults is not None and rng is None:
            raise ConfigError("MemoryBroker(faults=...) got no rng: pass a numpy Generator, e.g. default_rng(seed)")
        self.queue_limit = queue_limit
        self.faults = faults
        self.traffic = Traffic()
        self._rng = rng
        self._lock = threading.RLock()
        self._up = True
        self._links: dict[str, MemoryTransport] = {}
        self._retained: dict[str, bytes] = {}
        # Dictionaries without values are sets that keep their order: the order of delivery must not depend on hashes.
        self._exact: dict[str, dict[MemoryTransport, None]] = {}
        self._filters: dict[str, tuple[Callable[[str], bool], dict[MemoryTransport, None]]] = {}
        self._routes: dict[str, tuple[dict[MemoryTransport, None], ...]] = {}

    # What tests and the simulator do to it.

    def connect(self, client_id: str, *, will: Will | None = None, outbox_limit: int = 100_000) -> MemoryTransport:
        """Return a new link that is up; a link of the same name is cut, as MQTT demands (3.1.1 §3.1.4).

        Raises:
            TransportError: if the broker is stopped.
        """
        with self._lock:
            if not self._up:
                raise TransportError("the in-memory broker is stopped: call start() before connecting")
            self.cut(client_id, "another client connected with this name")
            link = self._links[client_id] = MemoryTransport(self, client_id, will, outbox_limit)
            link._rise()
            return link

    def cut(self, client_id: str, reason: str = "the link was cut") -> None:
        """Break a link without a goodbye: its will is published, and it stays down until `mend`."""
        with self._lock:
            link = self._links.get(client_id)
            if link is None:
                return
            link._held_down = True
            if link._fall(reason) and link._will is not None:
                self._publish(link._will.topic, link._will.payload, link._will.retain)

    def mend(self, client_id: str) -> None:
        """Let a cut link come up again: it renews its subscriptions and sends what waited."""
        with self._lock:
            link = self._links.get(client_id)
            if link is not None:
                link._held_down = False
                link._rise()

    def stop(self, reason: str = "the broker stopped") -> None:
        """Go away as a killed broker does: every link falls, no will is published."""
        with self._lock:
            self._up = False
            for link in self._links.values():
                link._fall(reason)

    def start(self, *, keep_retained: bool = True) -> None:
        """Come back and let every link rise that was not cut, with the retained messages or without them."""
        with self._lock:
            self._up = True
            if not keep_retained:
                self._retained.clear()
            for link in list(self._links.values()):
                link._rise()

    def retained(self) -> dict[str, bytes]:
        """Return a copy of the retained messages by topic."""
        with self._lock:
            return dict(self._retained)

    # What links do.

    def _publish(self, topic: str, payload: bytes, retain: bool) -> None:
        traffic = self.traffic
        traffic.published += 1
        traffic.published_bytes += len(payload)
        if retain:
            self._retain(topic, payload)
        routes = self._routes.get(topic)
        if routes is None:
            routes = self._find_routes(topic)
        exact = self._exact.get(topic)
        if not routes:
            receivers = exact
        elif len(routes) == 1 and not exact:
            receivers = routes[0]
        else:  # overlapping filters: each receiver once
            receivers = dict(exact or ())
            for route in routes:
                receivers.update(route)
        if receivers:
            message = Message(topic, payload)
            for link in receivers:
                self._deliver(link, message)

    def _retain(self, topic: str, payload: bytes) -> None:
        self._retained.pop(topic, None)
        if payload:  # an empty one clears the topic (§3.3.1.3)
            self._retained[topic] = payload

    def _find_routes(self, topic: str) -> tuple[dict[MemoryTransport, None], ...]:
        if len(self._routes) >= _ROUTES_MAX:
            self._routes.clear()
        routes = tuple(links for match, links in self._filters.values() if match(topic))
        self._routes[topic] = routes
        return routes

    def _deliver(self, link: MemoryTransport, message: Message) -> None:
        copies = 1
        if self.faults is not None and self._rng is not None:
            drop, duplicate = self._rng.random(2)
            copies = 0 if drop < self.faults.drop else 2 if duplicate < self.faults.duplicate else 1
        traffic = self.traffic
        if not copies or (self.queue_limit is not None and len(link._inbox) >= self.queue_limit):
            traffic.dropped += 1
            return
        for _ in range(copies):
            traffic.delivered += 1
            traffic.delivered_bytes += len(message.payload)
            link._receive(message, self._overtakes(link))

    def _overtakes(self, link: MemoryTransport) -> bool:
        if self.faults is None or self._rng is None or self._rng.random() >= self.faults.reorder:
            return False
        return bool(link._inbox) and isinstance(link._inbox[-1], Message)

    def _subscribe(self, link: MemoryTransport, pattern: str) -> None:
        if has_wildcard(pattern):
            if pattern not in self._filters:
                self._filters[pattern] = (matcher(pattern), {})
                self._routes.clear()
            match, links = self._filters[pattern]
            links[link] = None
            kept = [(topic, payload) for topic, payload in self._retained.items() if match(topic)]
        else:
            self._exact.setdefault(pattern, {})[link] = None
            kept = [(pattern, self._retained[pattern])] if pattern in self._retained else []
        for topic, payload in kept:
            self._deliver(link, Message(topic, payload, retained=True))

    def _unsubscribe(self, link: MemoryTransport, pattern: str) -> None:
        if has_wildcard(pattern):
            links = self._filters[pattern][1] if pattern in self._filters else {}
            links.pop(link, None)
            if not links and pattern in self._filters:
                del self._filters[pattern]
                self._routes.clear()
        else:
            links = self._exact.get(pattern, {})
            links.pop(link, None)
            if not links:
                self._exact.pop(pattern, None)

    def _forget(self, link: MemoryTransport) -> None:
        if self._links.get(link.client_id) is link:
            del self._links[link.client_id]


class MemoryTransport:
    """A link to a `MemoryBroker`; made by `MemoryBroker.connect`. It implements `Transport`."""

    def __init__(self, broker: MemoryBroker, client_id: str, will: Will | None, outbox_limit: int) -> None:
        self.client_id = client_id
        self._broker = broker
        self._will = will
        self._outbox_limit = outbox_limit
        self._up = False
        self._closed = False
        self._held_down = False
        self._subscriptions: dict[str, None] = {}
        self._inbox: deque[Event] = deque()
        self._outbox: deque[tuple[str, bytes, bool]] = deque()
        self._arrived = threading.Condition(broker._lock)
        self._waiting = 0

    def publish(self, topic: str, payload: bytes, *, retain: bool = False, qos: int = 1) -> None:
        """Route a message at once, or keep it until the link is up; at QoS 0 it is lost while the link is down.

        Raises:
            TransportError: if the link is closed, or is down and the outbox is full.
        """
        check_topic(topic)
        with self._broker._lock:
            if self._up:
                self._broker._publish(topic, bytes(payload), retain)
            elif self._closed:
                raise TransportError(f"{self.client_id}: publish to {topic!r} after close()")
            elif qos:
                self._keep(topic, bytes(payload), retain)

    def subscribe(self, *filters: str) -> None:
        """Ask for messages whose topic matches; what is retained comes at once."""
        for pattern in filters:
            check_filter(pattern)
        with self._broker._lock:
            for pattern in filters:
                self._subscriptions[pattern] = None
                if self._up:
                    self._broker._subscribe(self, pattern)

    def unsubscribe(self, *filters: str) -> None:
        """Stop asking for them."""
        with self._broker._lock:
            for pattern in filters:
                self._subscriptions.pop(pattern, None)
                self._broker._unsubscribe(self, pattern)

    def poll(self, timeout: float = 0.0) -> Event | None:
        """Return the next event, waiting `timeout` seconds at most; `None` if there was none."""
        try:
            return self._inbox.popleft()  # atomic, so a poll that finds something takes no lock
        except IndexError:
            return self._wait(timeout) if timeout > 0 else None

    @property
    def pending(self) -> int:
        """How many messages wait for the link to come up."""
        return len(self._outbox)

    def close(self, *, flush: float = 1.0) -> None:
        """Say goodbye: no will is published, and nothing arrives any more."""
        with self._broker._lock:
            self._fall_silently()
            self._closed = True
            self._outbox.clear()
            self._broker._forget(self)
            self._arrived.notify_all()

    def _wait(self, timeout: float) -> Event | None:
        deadline = time.monotonic() + timeout
        with self._arrived:
            self._waiting += 1
            while not self._inbox and not self._closed and (left := deadline - time.monotonic()) > 0:
                self._arrived.wait(left)
            self._waiting -= 1
            return self._inbox.popleft() if self._inbox else None

    def _receive(self, event: Event, overtakes: bool = False) -> None:
        if overtakes:
            self._inbox.insert(max(len(self._inbox) - 1, 0), event)
        else:
            self._inbox.append(event)
        if self._waiting:
            self._arrived.notify()

    def _keep(self, topic: str, payload: bytes, retain: bool) -> None:
        if len(self._outbox) >= self._outbox_limit:
            raise TransportError(f"{self.client_id}: the link is down and {len(self._outbox)} messages wait already")
        self._outbox.append((topic, payload, retain))

    def _rise(self) -> None:
        if self._up or self._closed or self._held_down or not self._broker._up:
            return
        self._up = True
        self._receive(Connected())
        for pattern in self._subscriptions:
            self._broker._subscribe(self, pattern)
        while self._outbox:
            self._broker._publish(*self._outbox.popleft())

    def _fall(self, reason: str) -> bool:
        if not self._up:
            return False
        self._fall_silently()
        self._receive(Disconnected(reason))
        return True

    def _fall_silently(self) -> None:
        self._up = False
        for pattern in self._subscriptions:
            self._broker._unsubscribe(self, pattern)
