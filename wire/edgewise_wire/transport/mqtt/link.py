"""One connection to a broker, driven through paho. The only module that imports paho; no type of paho's leaves it.

paho is used for what it does well, the protocol's state machine of one connection: each connection gets a new
`paho.Client`, driven by its `loop_read`, `loop_write` and `loop_misc`. The rest is ours, because paho's own network
thread reads on while nobody takes the messages, sends as fast as it can, waits with `select` (which fails past file
descriptor 1,023), repeats lost messages past any rate limit, and queues so much before a PINGREQ that a slow link times
out.
"""

from __future__ import annotations

import contextlib
import logging
import selectors
import socket
import ssl
import time
from collections.abc import Callable
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edgewise_wire.errors import TransportError
from edgewise_wire.transport import reasons
from edgewise_wire.transport.base import Connected, Message
from edgewise_wire.transport.mailbox import Outgoing
from edgewise_wire.transport.mqtt.shared import MESSAGE_MAX, Shared

_log = logging.getLogger("edgewise.transport")

_CONNECT_SECONDS = 10.0  # for the TCP and TLS handshakes, and again for the broker's CONNACK
_WINDOW_MESSAGES = 64  # unacknowledged at once; MQTT 5 brokers may ask for fewer
_WINDOW_BYTES = 8 * 1024 * 1024  # 80 MB/s at a round trip of 100 ms
_UNSENT_BYTES = 128 * 1024  # how much may wait in the kernel: a PINGREQ stands behind it
_SUBSCRIBE_BATCH = 8  # filters in one SUBSCRIBE: AWS IoT Core closes the connection at 9


class Link:
    """One connection, from CONNECT to its loss. Everything here runs in the transport's thread."""

    def __init__(self, shared: Shared, answer: Callable[[str | None], None] | None) -> None:
        self.unacknowledged: dict[int, Outgoing] = {}
        self.was_ready = False  # it stays true when the link is lost again
        self.is_up = False
        self._shared = shared
        self._settings = shared.settings
        self._inbox = shared.inbox
        self._outbox = shared.outbox
        self._answer = answer  # tells the owner's first `connect` that all is well
        self._reason: str | None = None
        self._accepted = False
        self._renewing: set[int] | None = None  # the first SUBSCRIBEs that wait for their SUBACK
        self._asked: dict[int, tuple[str, ...]] = {}  # every SUBSCRIBE that does
        self._early: list[Message] = []  # retained messages may overtake the SUBACK; Connected comes first
        self._window = _WINDOW_MESSAGES
        self._window_bytes = 0
        self._largest = MESSAGE_MAX
        self._last_ping = 0.0
        self._watched = 0  # what the selector looks for on the socket
        self._selector = selectors.DefaultSelector()
        self._client = self._make_client()

    def live(self) -> str:
        """Connect, serve until the link is lost or the owner has closed it, and return why it ended."""
        began = time.monotonic()
        address = self._settings.address
        try:
            self._selector.register(self._shared.bell.reader, selectors.EVENT_READ)
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
            properties.MaximumPacketSize = MESSAGE_MAX
        try:
            self._client.connect(address.host, address.port, self._settings.keepalive, properties=properties)
        except (OSError, ValueError) as error:
            raise TransportError(self._not_connected(error)) from error

    def _not_connected(self, error: Exception) -> str:
        settings = self._settings
        return reasons.not_connected(settings.address, error, _CONNECT_SECONDS, settings.shows_certificate)

    def _may_leave(self) -> bool:
        close_by = self._shared.close_by
        if close_by is None:
            return False
        return not self.was_ready or not self._outbox.pending or self._shared.clock() >= close_by

    # Sending.

    def _send(self) -> float:
        """Hand paho what may be sent now; return the seconds after which there may be more to do."""
        if not self._accepted:
            return 1.0
        if self._renewing is None:
            self._renewing = self._subscribe(self._shared.filters.renew())
            self._look_if_ready()
        for wanted, filters in self._shared.filters.requests():
            if wanted:
                self._subscribe(filters)
            elif filters:
                self._client.unsubscribe(list(filters))
        patience = self._settings.keepalive / 4
        if self._shared.close_by is not None:
            patience = min(patience, max(0.0, self._shared.close_by - self._shared.clock()))
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
            delay = self._shared.pacer.delay(message.size)
            if delay > 0:
                return delay
            self._shared.pacer.spend(message.size)
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
        full = self._inbox.is_full and not self._shared.closing
        self._watch(selectors.EVENT_READ * (not full) | selectors.EVENT_WRITE * self._client.want_write())
        has_data = not full and self._decrypted() > 0
        for key, mask in self._selector.select(0 if has_data else timeout):
            if key.fileobj is self._shared.bell.reader:
                self._shared.bell.silence()
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
        if announced > MESSAGE_MAX:
            raise TransportError(
                f"{self._settings.address}: a message of {announced} bytes is coming, expected at most {MESSAGE_MAX}; "
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
                if key.fileobj is self._shared.bell.reader:
                    self._shared.bell.silence()
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
        if self._shared.closing:
            _drain(sock)

    def _on_connect(self, client: paho.Client, userdata: Any, flags: Any, code: Any, properties: Any) -> None:
        if code.is_failure:
            self._reason = reasons.refused(self._settings.address, self._settings.client_id, str(code))
            return
        self._accepted = True
        self._window = min(_WINDOW_MESSAGES, getattr(properties, "ReceiveMaximum", _WINDOW_MESSAGES))
        self._largest = min(MESSAGE_MAX + 1024, getattr(properties, "MaximumPacketSize", MESSAGE_MAX + 1024))

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
        elif not self._shared.closing:
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
        if self._reason is not None or self._shared.closing:
            return
        if flags.is_disconnect_packet_from_server:
            self._reason = f"{address}: the broker closed the link: {code}"
        elif str(code) == "Keep alive timeout":
            self._reason = f"{address}: no sign of life for {self._settings.keepalive} s"
        elif not self._accepted:
            self._reason = reasons.closed_unanswered(address, self._settings.shows_certificate)
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
