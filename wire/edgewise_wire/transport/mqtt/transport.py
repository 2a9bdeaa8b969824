"""`MqttTransport`: what the owner calls, and the thread that keeps one link after another."""

from __future__ import annotations

import logging
import queue
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path

from edgewise_wire.errors import ConfigError, TransportError
from edgewise_wire.transport.address import TlsFiles, check_protocol, parse_address
from edgewise_wire.transport.base import Disconnected, Event, Will
from edgewise_wire.transport.filters import check_filter, check_topic
from edgewise_wire.transport.mailbox import Bell, Inbox, Limit, Outbox, Outgoing
from edgewise_wire.transport.mqtt.link import Link
from edgewise_wire.transport.mqtt.shared import MESSAGE_MAX, Filters, Settings, Shared
from edgewise_wire.transport.pacing import Backoff, Dice, Pacer, PublishRate

_log = logging.getLogger("edgewise.transport")

_HELD_SECONDS = 5.0  # a link that lasted so long resets the back-off; a broker that throws us out at once does not


class MqttTransport:
    """A `Transport` over MQTT 3.1.1 (or 5), with clean sessions.

    Publishes and subscriptions may be handed over before `connect` and while the link is down; they wait in a bounded
    outbox. What the broker did not acknowledge is sent again after a reconnect: at least once, in order.
    When the inbox is full the socket is not read until `poll` has made room: nothing that arrived is dropped. (What a
    broker does with a queue that grows is the broker's affair: Mosquitto drops past 1,000 messages for one client.)
    Acknowledgements are read from the same socket: an owner that does not poll cannot send for long either.

    Args:
        url: `mqtt://host:port`, or `mqtts://` for TLS; user and password may stand in it, `?protocol=5` too.
        client_id: unique on the broker; a second client of that name throws the first one out.
        will: what the broker publishes when we vanish.
        username: who we are, if the broker asks; replaces the url's.
        password: the proof of it.
        ca: PEM file of the authority that signed the broker's certificate; the system's authorities if `None`.
        cert: PEM file with our own certificate, if the broker asks for one.
        key: PEM file with its key.
        protocol: `"3.1.1"` or `"5"`; replaces the url's.
        keepalive: seconds of silence after which we ask whether the broker is still there (MQTT 3.1.1 §3.1.2.10).
        max_publish_rate: what the broker allows on one connection; the transport stays under it; replaces the url's.
        inbox_limit: messages that may wait for `poll` before reading stops.
        inbox_bytes: the same in bytes of payload.
        outbox_limit: messages that may wait for the broker.
        outbox_bytes: the same in bytes of payload.
        rng: where the jitter between attempts to connect comes from.
        clock: monotonic seconds, for pacing and deadlines.

    Raises:
        ConfigError: if a value is out of its range or a TLS file cannot be used.

    Example:
        >>> link = MqttTransport("mqtt://127.0.0.1:1883", "coordinator")
        >>> link.subscribe("ew/1/home/device/+/up")
        >>> link.pending
        0
        >>> link.close()
    """

    def __init__(
        self,
        url: str,
        client_id: str,
        *,
        will: Will | None = None,
        username: str | None = None,
        password: str | None = None,
        ca: str | Path | None = None,
        cert: str | Path | None = None,
        key: str | Path | None = None,
        protocol: str | None = None,
        keepalive: int = 30,
        max_publish_rate: PublishRate | None = None,
        inbox_limit: int = 1_000,
        inbox_bytes: int = 32 * 1024 * 1024,
        outbox_limit: int = 10_000,
        outbox_bytes: int = 64 * 1024 * 1024,
        rng: Dice | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not client_id or not 1 <= keepalive <= 65_535:
            raise ConfigError(f"client id {client_id!r}, keepalive {keepalive}: expected a name and 1 to 65535 seconds")
        address = parse_address(url)
        files = TlsFiles(ca, cert, key)
        if files and not address.tls:
            raise ConfigError(f"{address}: TLS files were given, but mqtt:// is not encrypted; use mqtts://")
        if will is not None:
            check_topic(will.topic)
        self.address = address
        self.client_id = client_id
        settings = Settings(
            address=address,
            client_id=client_id,
            will=will,
            username=username if username is not None else address.username,
            password=password if password is not None else address.password,
            tls=files.context() if address.tls else None,
            shows_certificate=files.cert is not None,
            v5=(check_protocol(protocol) if protocol else address.protocol) == "5",
            keepalive=keepalive,
        )
        bell = Bell()
        self._shared = Shared(
            settings=settings,
            filters=Filters(),
            inbox=Inbox(Limit(inbox_limit, inbox_bytes), on_room=bell.ring),
            outbox=Outbox(Limit(outbox_limit, outbox_bytes)),
            pacer=Pacer(max_publish_rate or address.rate, clock),
            bell=bell,
            clock=clock,
        )
        self._backoff = Backoff(rng if rng is not None else random.Random())  # noqa: S311 - jitter
        self._link: Link | None = None
        self._thread: threading.Thread | None = None

    def connect(self, timeout: float = 10.0) -> MqttTransport:
        """Connect, wait until the broker has accepted us and our subscriptions, and return this transport.

        Later losses are mended without being asked, and told as `Disconnected` and `Connected` events.

        Raises:
            TransportError: if that did not happen within `timeout` seconds; it says why and what to do. The transport
                is closed then: make a new one to try again.
        """
        answer: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._launch(answer.put)
        try:
            failure = answer.get(timeout=timeout)
        except queue.Empty:
            failure = f"{self.address}: no answer within {timeout:g} s; check the address and the network"
        if failure is not None:
            self.close(flush=0)
            raise TransportError(failure)
        return self

    def start(self) -> MqttTransport:
        """Begin to connect and go on trying for ever, without waiting: for devices that may boot before the broker."""
        self._launch(None)
        return self

    def publish(self, topic: str, payload: bytes, *, retain: bool = False, qos: int = 1) -> None:
        """Hand a message over for sending; at QoS 0 it is lost if the link is down.

        Raises:
            TransportError: if the outbox is full, or after `close`.
            ConfigError: if the topic is none, the payload is over 2 MiB, or `qos` is not 0 or 1.
        """
        check_topic(topic)
        if qos not in (0, 1) or len(payload) > MESSAGE_MAX:
            raise ConfigError(f"publish to {topic!r}: expected at most {MESSAGE_MAX} bytes and QoS 0 or 1")
        if self._shared.closing:
            raise TransportError(f"{self.address}: publish to {topic!r} after close()")
        if qos or (self._link is not None and self._link.is_up):
            self._shared.outbox.add(Outgoing(topic, bytes(payload), retain, qos))
            self._shared.bell.ring()

    def subscribe(self, *filters: str) -> None:
        """Ask for messages whose topic matches; kept over reconnects. A refusal by the broker is raised by `poll`."""
        for pattern in filters:
            check_filter(pattern)
        self._shared.filters.ask(filters, wanted=True)
        self._shared.bell.ring()

    def unsubscribe(self, *filters: str) -> None:
        """Stop asking for them."""
        self._shared.filters.ask(filters, wanted=False)
        self._shared.bell.ring()

    def poll(self, timeout: float = 0.0) -> Event | None:
        """Return the next event, waiting `timeout` seconds at most; `None` if there was none.

        Raises:
            TransportError: if the broker refused a subscription, or (MQTT 5 only) a message; told once per refusal.
        """
        return self._shared.inbox.get(timeout)

    @property
    def pending(self) -> int:
        """How many published messages the broker has not yet acknowledged."""
        return self._shared.outbox.pending

    def close(self, *, flush: float = 1.0) -> None:
        """Send what is pending for `flush` seconds at most, say goodbye (so that no will is published) and stop."""
        if not self._shared.closing:
            self._shared.close_by = self._shared.clock() + flush
        self._shared.bell.ring()
        if self._thread is None:
            self._shared.bell.close()
        elif self._thread is not threading.current_thread():
            self._thread.join(flush + 3.0)  # a thread inside a TCP connect ends by itself, later
        self._shared.inbox.put(None)  # wakes a poll that waits in another thread

    # What our own thread does.

    def _launch(self, answer: Callable[[str | None], None] | None) -> None:
        if self._shared.closing or self._thread is not None:
            raise TransportError(f"{self.address}: connect() or start() may be called once, and not after close()")
        name = f"mqtt-{self.client_id}"
        self._thread = threading.Thread(target=self._run, args=(answer,), name=name, daemon=True)
        self._thread.start()

    def _run(self, answer: Callable[[str | None], None] | None) -> None:
        try:
            told = False
            while not self._shared.closing:
                reason = self._serve_one_link(answer)
                lasted = self._link is not None and self._link.was_ready
                if answer is not None and not lasted:
                    return answer(reason)
                answer = None
                if not self._shared.closing:
                    if lasted or not told:
                        self._shared.inbox.put(Disconnected(reason))
                        told = True
                    self._pause(reason)
        finally:
            self._shared.bell.close()

    def _serve_one_link(self, answer: Callable[[str | None], None] | None) -> str:
        self._link = link = Link(self._shared, answer)
        began = self._shared.clock()
        reason = link.live()
        self._shared.outbox.give_back(link.unacknowledged.values())
        if link.was_ready and self._shared.clock() - began > _HELD_SECONDS:
            self._backoff.reset()
        return reason

    def _pause(self, reason: str) -> None:
        seconds = self._backoff.next()
        _log.info("%s: %s; next attempt in %.1f s", self.client_id, reason, seconds)
        self._shared.bell.wait(seconds, until=lambda: self._shared.closing)
