"""A link to a real broker, over paho-mqtt. The only module that imports paho; no type of paho's leaves it.

One thread per transport owns the socket. paho is used for what it does well, the protocol's state machine of one
connection: each connection gets a new `paho.Client`, driven by its `loop_read`, `loop_write` and `loop_misc`. The rest
is ours, because paho's own network thread reads on while nobody takes the messages, sends as fast as it can, waits with
`select` (which fails past file descriptor 1,023), repeats lost messages past any rate limit, and queues so much before
a PINGREQ that a slow link times out.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import selectors
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edgewise_wire.errors import ConfigError, TransportError
from edgewise_wire.transport import reasons
from edgewise_wire.transport.address import BrokerAddress, TlsFiles, check_protocol, parse_address
from edgewise_wire.transport.base import Connected, Disconnected, Event, Message, Will
from edgewise_wire.transport.filters import check_filter, check_topic
from edgewise_wire.transport.mailbox import Bell, Inbox, Limit, Outbox, Outgoing
from edgewise_wire.transport.pacing import Backoff, Pacer, PublishRate

_log = logging.getLogger("edgewise.transport")

_CONNECT_SECONDS = 10.0  # for the TCP and TLS handshakes, and again for the broker's CONNACK
_HELD_SECONDS = 5.0  # a link that lasted so long resets the back-off; a broker that throws us out at once does not
_WINDOW_MESSAGES = 64  # unacknowledged at once; MQTT 5 brokers may ask for fewer
_WINDOW_BYTES = 8 * 1024 * 1024  # 80 MB/s at a round trip of 100 ms
_UNSENT_BYTES = 128 * 1024  # how much may wait in the kernel: a PINGREQ stands behind it
_SUBSCRIBE_BATCH = 8  # filters in one SUBSCRIBE: AWS IoT Core closes the connection at 9
_MESSAGE_MAX = 2 * 1024 * 1024  # a larger one never was edgewise's; MQTT itself would allow 256 MiB


@dataclass(frozen=True, slots=True)
class _Settings:
    """What stays the same over all connections of a transport."""

    address: BrokerAddress
    client_id: str
    will: Will | None
    username: str | None
    password: str | None = field(repr=False)
    tls: ssl.SSLContext | None
    v5: bool
    keepalive: int


class _Filters:
    """The topic filters asked for, and the requests that the present link has not sent yet."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wanted: dict[str, None] = {}
        self._requests: deque[tuple[bool, tuple[str, ...]]] = deque()

    def ask(self, filters: tuple[str, ...], *, wanted: bool) -> None:
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
        max_publish_rate: what the broker allows on one connection; the transport stays under it.
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
        rng: np.random.Generator | None = None,
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
        self._settings = _Settings(
            address=address,
            client_id=client_id,
            will=will,
            username=username if username is not None else address.username,
            password=password if password is not None else address.password,
            tls=files.context() if address.tls else None,
            v5=(check_protocol(protocol) if protocol else address.protocol) == "5",
            keepalive=keepalive,
        )
        self._clock = clock
        self._bell = Bell()
        self._filters = _Filters()
        self._inbox = Inbox(Limit(inbox_limit, inbox_bytes), on_room=self._bell.ring)
        self._outbox = Outbox(Limit(outbox_limit, outbox_bytes))
        self._pacer = Pacer(max_publish_rate or PublishRate(), clock)
        self._backoff = Backoff(rng if rng is not None else np.random.default_rng())
        self._link: _Link | None = None
        self._thread: threading.Thread | None = None
        self._close_by: float | None = None  # when set, the transport is closing and flushes until then

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
        if qos not in (0, 1) or len(payload) > _MESSAGE_MAX:
            raise ConfigError(f"publish to {topic!r}: expected at most {_MESSAGE_MAX} bytes and QoS 0 or 1")
        if self._close_by is not None:
            raise TransportError(f"{self.address}: publish to {topic!r} after close()")
        if qos or (self._link is not None and self._link.is_up):
            self._outbox.add(Outgoing(topic, bytes(payload), retain, qos))
            self._bell.ring()

    def subscribe(self, *filters: str) -> None:
        """Ask for messages whose topic matches; kept over reconnects. A refusal by the broker is raised by `poll`."""
        for pattern in filters:
            check_filter(pattern)
        self._filters.ask(filters, wanted=True)
        self._bell.ring()

    def unsubscribe(self, *filters: str) -> None:
        """Stop asking for them."""
        self._filters.ask(filters, wanted=False)
        self._bell.ring()

    def poll(self, timeout: float = 0.0) -> Event | None:
        """Return the next event, waiting `timeout` seconds at most; `None` if there was none.

        Raises:
            TransportError: if the broker refused a subscription, or (MQTT 5 only) a message; told once per refusal.
        """
        return self._inbox.get(timeout)

    @property
    def pending(self) -> int:
        """How many published messages the broker has not yet acknowledged."""
        return self._outbox.pending

    def close(self, *, flush: float = 1.0) -> None:
        """Send what is pending for `flush` seconds at most, say goodbye (so that no will is published) and stop."""
        if self._close_by is None:
            self._close_by = self._clock() + flush
        self._bell.ring()
        if self._thread is None:
            self._bell.close()
        elif self._thread is not threading.current_thread():
            self._thread.join(flush + 3.0)  # a thread inside a TCP connect ends by itself, later
        self._inbox.put(None)  # wakes a poll that waits in another thread

    # What our own thread does.

    def _launch(self, answer: Callable[[str | None], None] | None) -> None:
        if self._close_by is not None or self._thread is not None:
            raise TransportError(f"{self.address}: connect() or start() may be called once, and not after close()")
        name = f"mqtt-{self.client_id}"
        self._thread = threading.Thread(target=self._run, args=(answer,), name=name, daemon=True)
        self._thread.start()

    def _run(self, answer: Callable[[str | None], None] | None) -> None:
        try:
            told = False
            while self._close_by is None:
                reason = self._serve_one_link(answer)
                lasted = self._link is not None and self._link.was_ready
                if answer is not None and not lasted:
                    return answer(reason)
                answer = None
                if self._close_by is None:
                    if lasted or not told:
                        self._inbox.put(Disconnected(reason))
                        told = True
                    self._pause(reason)
        finally:
            self._bell.close()

    def _serve_one_link(self, answer: Callable[[str | None], None] | None) -> str:
        self._link = link = _Link(self, answer)
        began = self._clock()
        reason = link.live()
        self._outbox.give_back(link.unacknowledged.values())
        if link.was_ready and self._clock() - began > _HELD_SECONDS:
            self._backoff.reset()
        return reason

    def _pause(self, reason: str) -> None:
        seconds = self._backoff.next()
        _log.info("%s: %s; next attempt in %.1f s", self.client_id, reason, seconds)
        self._bell.wait(seconds, until=lambda: self._close_by is not None)


class _Link:
    """One connection, from CONNECT to its loss. Everything here runs in the transport's thread."""

    def __init__(self, owner: MqttTransport, answer: Callable[[str | None], None] | None) -> None:
        self.unacknowledged: dict[int, Outgoing] = {}
        self.was_ready = False  # it stays true when the link is lost again
        self.is_up = False
        self._owner = owner
        self._settings = owner._settings
        self._inbox = owner._inbox
        self._outbox = owner._outbox
        self._answer = answer  # tells the owner's first `connect` that all is well
        self._reason: str | None = None
        self._accepted = False
        self._renewing: set[int] | None = None  # the first SUBSCRIBEs that wait for their SUBACK
        self._asked: dict[int, tuple[str, ...]] = {}  # every SUBSCRIBE that does
        self._early: list[Message] = []  # retained messages may overtake the SUBACK; Connected comes first
        self._window = _WINDOW_MESSAGES
        self._window_bytes = 0
        self._largest = _MESSAGE_MAX
        self._last_ping = 0.0
        self._watched = 0  # what the selector looks for on the socket
        self._selector = selectors.DefaultSelector()
        self._client = self._make_client()

    def live(self) -> str:
        """Connect, serve until the link is lost or the owner has closed it, and return why it ended."""
        began = time.monotonic()
        address = self._settings.address
        try:
            self._selector.register(self._owner._bell.reader, selectors.EVENT_READ)
            self._open()
            while self._reason is None and not self._may_leave():
                self._turn(self._send())
                if not self._accepted and time.monotonic() - began > _CONNECT_SECONDS:
                    self._reason = self._reason or reasons.no_answer(address, _CONNECT_SECONDS)
            self._say_goodbye()
        except TransportError as error:
            self._reason = str(error)
        except Exception as error:  # paho's parser raises whatever a garbled packet makes it stumble over
            _log.warning("%s: link given up", self._settings.client_id, exc_info=True)
            self._reason = f"{address}: what came is not MQTT ({type(error).__name__}: {error})"
        finally:
            self.is_up = False
            self._drop()
        return self._reason or f"{address}: closed"

    def _make_client(self) -> paho.Client:
        settings = self._settings
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=settings.client_id,
            clean_session=None if settings.v5 else True,
            protocol=MQTTProtocolVersion.MQTTv5 if settings.v5 else MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,
        )
        client.connect_timeout = _CONNECT_SECONDS
        client.max_inflight_messages = 0  # 0 is no limit: the window is ours
        if settings.tls is not None:
            client.tls_set_context(settings.tls)
        if settings.username is not None:
            client.username_pw_set(settings.username, settings.password)
        if settings.will is not None:
            client.will_set(settings.will.topic, settings.will.payload, qos=1, retain=settings.will.retain)
        client.on_socket_open = self._on_socket_open
        client.on_socket_close = self._on_socket_close
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        client.on_publish = self._on_publish
        client.on_message = self._on_message
        return client

    def _open(self) -> None:
        address = self._settings.address
        properties = None
        if self._settings.v5:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.MaximumPacketSize = _MESSAGE_MAX
        try:
            self._client.connect(address.host, address.port, self._settings.keepalive, properties=properties)
        except (OSError, ValueError) as error:
            raise TransportError(reasons.not_connected(address, error, _CONNECT_SECONDS)) from error

    def _may_leave(self) -> bool:
        close_by = self._owner._close_by
        if close_by is None:
            return False
        return not self.was_ready or not self._outbox.pending or self._owner._clock() >= close_by

    # Sending.

    def _send(self) -> float:
        """Hand paho what may be sent now; return the seconds after which there may be more to do."""
        if not self._accepted:
            return 1.0
        if self._renewing is None:
            self._renewing = self._subscribe(self._owner._filters.renew())
            self._look_if_ready()
        for wanted, filters in self._owner._filters.requests():
            if wanted:
                self._subscribe(filters)
            elif filters:
                self._client.unsubscribe(list(filters))
        patience = self._settings.keepalive / 4
        if self._owner._close_by is not None:
            patience = min(patience, max(0.0, self._owner._close_by - self._owner._clock()))
        return min(patience, self._send_messages())

    def _subscribe(self, filters: tuple[str, ...]) -> set[int]:
        asked = set()
        for start in range(0, len(filters), _SUBSCRIBE_BATCH):
            batch = filters[start : start + _SUBSCRIBE_BATCH]
            _, mid = self._client.subscribe([(pattern, 1) for pattern in batch])
            if mid is not None:
                self._asked[mid] = batch
                asked.add(mid)
        return asked

    def _send_messages(self) -> float:
        """Send while window, kernel and rate have room; return the seconds until the rate has it again."""
        while (message := self._outbox.first()) and self._reason is None and not self._client.want_write():
            crowded = self._window_bytes and self._window_bytes + message.size > _WINDOW_BYTES
            if len(self.unacknowledged) >= self._window or crowded:
                break  # a PUBACK will wake us
            delay = self._owner._pacer.delay(message.size)
            if delay > 0:
                return delay
            self._owner._pacer.spend(message.size)
            self._outbox.take_first()
            self._publish(message)
        return float("inf")

    def _publish(self, message: Outgoing) -> None:
        if message.size > self._largest:  # MQTT 5 tells us; sent all the same, it would cut every link anew
            self._complain(f"{message.size} bytes to {message.topic!r}: the broker takes {self._largest} at most")
            self._outbox.settle(message)
            return
        info = self._client.publish(message.topic, message.payload, qos=message.qos, retain=message.retain)
        if message.qos:
            self.unacknowledged[info.mid] = message
            self._window_bytes += message.size
        else:
            self._outbox.settle(message)

    def _complain(self, what: str) -> None:
        self._inbox.put(TransportError(f"{self._settings.address}: {what}"))

    # Waiting, reading and writing.

    def _turn(self, timeout: float) -> None:
        """Wait for the socket or the owner's bell, then let paho read and write."""
        full = self._inbox.is_full and self._owner._close_by is None
        self._watch(selectors.EVENT_READ * (not full) | selectors.EVENT_WRITE * self._client.want_write())
        has_data = not full and self._decrypted() > 0
        for key, mask in self._selector.select(0 if has_data else timeout):
            if key.fileobj is self._owner._bell.reader:
                self._owner._bell.silence()
                continue
            has_data = has_data or bool(mask & selectors.EVENT_READ)
            if mask & selectors.EVENT_WRITE:
                self._client.loop_write()
        if has_data:
            self._client.loop_read()
            self._check_size()
        # paho takes a PINGRESP that stands behind unread messages for a dead broker; data is a sign of life enough.
        if full or has_data:
            self._ping()
        else:
            self._client.loop_misc()
        if self._client.socket() is None and self._reason is None:
            self._reason = f"{self._settings.address}: the connection was lost"

    def _watch(self, events: int) -> None:
        sock: Any = self._client.socket()
        if sock is None or events == self._watched:
            return
        if self._watched and events:
            self._selector.modify(sock, events)
        elif events:
            self._selector.register(sock, events)
        else:
            self._selector.unregister(sock)
        self._watched = events

    def _decrypted(self) -> int:
        sock = self._client.socket()
        return sock.pending() if isinstance(sock, ssl.SSLSocket) else 0  # bytes that no selector sees any more

    def _check_size(self) -> None:
        # MQTT 3.1.1 has no way to tell a broker our limit, and paho would collect 256 MiB without a word.
        announced = getattr(self._client, "_in_packet", {}).get("remaining_length", 0)
        if announced > _MESSAGE_MAX:
            raise TransportError(
                f"{self._settings.address}: a message of {announced} bytes is coming, expected at most {_MESSAGE_MAX}; "
                "set the broker's limit on message sizes"
            )

    def _ping(self) -> None:
        """Keep the broker from giving us up (MQTT 3.1.1 §3.1.2.10) while we do not ask paho to."""
        now = time.monotonic()
        sock: Any = self._client.socket()
        if sock is None or self._client.want_write() or now - self._last_ping < self._settings.keepalive / 2:
            return
        self._last_ping = now
        with contextlib.suppress(OSError):  # a broken link shows when it is read
            sock.send(b"\xc0\x00")

    def _say_goodbye(self) -> None:
        if self._reason is not None or self._client.socket() is None:
            return
        self._client.disconnect()
        deadline = time.monotonic() + 1.0
        while self._client.socket() is not None and (left := deadline - time.monotonic()) > 0:
            self._watch(selectors.EVENT_WRITE)
            for key, _ in self._selector.select(left):
                if key.fileobj is self._owner._bell.reader:
                    self._owner._bell.silence()
                else:
                    self._client.loop_write()

    def _drop(self) -> None:
        sock: Any = self._client.socket()
        if sock is not None:
            self._on_socket_close(self._client, None, sock)
            sock.close()
        self._selector.close()

    # What paho calls, from within the calls above.

    def _on_socket_open(self, client: paho.Client, userdata: Any, sock: Any) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # else a small message may wait 40 ms for an ACK
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT_BYTES)

    def _on_socket_close(self, client: paho.Client, userdata: Any, sock: Any) -> None:
        if self._watched:
            self._selector.unregister(sock)
            self._watched = 0
        if self._owner._close_by is not None:
            _drain(sock)

    def _on_connect(self, client: paho.Client, userdata: Any, flags: Any, code: Any, properties: Any) -> None:
        if code.is_failure:
            self._reason = reasons.refused(self._settings.address, self._settings.client_id, str(code))
            return
        self._accepted = True
        self._window = min(_WINDOW_MESSAGES, getattr(properties, "ReceiveMaximum", _WINDOW_MESSAGES))
        self._largest = min(_MESSAGE_MAX + 1024, getattr(properties, "MaximumPacketSize", _MESSAGE_MAX + 1024))

    def _on_subscribe(self, client: paho.Client, userdata: Any, mid: int, codes: Any, properties: Any) -> None:
        for pattern, code in zip(self._asked.pop(mid, ()), codes, strict=False):
            if code.is_failure:
                self._refused(f"the broker refused the subscription to {pattern!r} ({code}); check its access rules")
        if self._renewing is not None:
            self._renewing.discard(mid)
            self._look_if_ready()

    def _refused(self, what: str) -> None:
        if self._answer is not None and not self.was_ready:
            self._reason = f"{self._settings.address}: {what}"  # the owner waits in connect(): tell it there
        else:
            self._complain(what)

    def _look_if_ready(self) -> None:
        if self._renewing or self.was_ready or self._reason is not None:
            return
        self.was_ready = self.is_up = True
        self._inbox.put(Connected())
        for message in self._early:
            self._inbox.put(message)
        self._early.clear()
        if self._answer is not None:
            self._answer(None)

    def _on_message(self, client: paho.Client, userdata: Any, received: paho.MQTTMessage) -> None:
        try:
            message = Message(received.topic, bytes(received.payload), received.retain)
        except UnicodeDecodeError:
            _log.warning("%s: ignored a message whose topic is not UTF-8 (§1.5.3)", self._settings.address)
            return
        if not self.was_ready:
            self._early.append(message)
        elif self._owner._close_by is None:
            self._inbox.put(message)

    def _on_publish(self, client: paho.Client, userdata: Any, mid: int, code: Any, properties: Any) -> None:
        message = self.unacknowledged.pop(mid, None)
        if message is None:
            return  # of QoS 0: settled when it was handed over
        self._window_bytes -= message.size
        self._outbox.settle(message)
        if code.is_failure:
            self._complain(f"the broker refused a message to {message.topic!r} ({code})")

    def _on_disconnect(self, client: paho.Client, userdata: Any, flags: Any, code: Any, properties: Any) -> None:
        address = self._settings.address
        if self._reason is not None or self._owner._close_by is not None:
            return
        if flags.is_disconnect_packet_from_server:
            self._reason = f"{address}: the broker closed the link: {code}"
        elif str(code) == "Keep alive timeout":
            self._reason = f"{address}: no sign of life for {self._settings.keepalive} s"
        elif not self._accepted:
            self._reason = reasons.closed_unanswered(address)
        else:
            self._reason = f"{address}: the connection was lost"


def _drain(sock: Any) -> None:
    """Read what is left until the broker has closed: a close with unread bytes resets the link and eats the goodbye."""
    with contextlib.suppress(OSError, ValueError):
        sock.shutdown(socket.SHUT_WR)
        sock.settimeout(0.2)
        deadline = time.monotonic() + 1.0
        while time.monotonic() < deadline and sock.recv(65_536):
            pass
