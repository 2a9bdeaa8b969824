"""amqtt's broker, mended where MQTT 3.1.1 and a fleet need it. Runs in the embedded broker's own process only.

What amqtt 0.12.1 does otherwise, found by reading it and by the tests in `tests/wire/test_transport_brokers.py` and
`tests/edgewise/test_brokers.py`, of which it fails most as it comes:

1. A client that falls silent is never given up, so its will is never published (§3.1.2.10). Nor is one that stalls
   inside a packet.
2. A second client of the same name does not end the first (§3.1.4), whose will may then follow the second one's
   presence; the first one's subscriptions block the second one's.
3. Messages already acknowledged are forgotten when their sender says goodbye at once (§4.3.2).
4. A new client is sent every retained message that any other client has subscribed to; and a subscription made
   meanwhile ends its connection with "dictionary changed size during iteration".
5. Sessions that ended are cleaned up by name each second, also if the client is back by then.
6. A client that reads nothing cannot be disconnected: closing waits for it.
7. A packet may be as large as 256 MiB.
8. After a subscription it serves that client nothing until its retained messages are acknowledged, and sends what is
   published meanwhile as if it had been retained.
9. It looks at every filter for every message, and prints each payload into a log line that nobody reads.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import stat
import sys
import threading
from collections.abc import Callable
from typing import Any

import amqtt.broker
from amqtt.adapters import ReaderAdapter, StreamWriterAdapter
from amqtt.mqtt.protocol.broker_handler import BrokerProtocolHandler

from edgewise_wire.transport.filters import matcher

_PACKET_MAX = 2 * 1024 * 1024 + 1024  # as our transport's: nothing of edgewise's is larger
_CONNECT_SECONDS = 10.0  # for the first packet
_CLOSE_SECONDS = 1.0
_SHUTDOWN_SECONDS = 2.0
_REFUSED = 0x80  # in a SUBACK (§3.9.3)
_ROUTES_MAX = 10_000  # topics whose matching filters are remembered


class _Reader(ReaderAdapter):  # type: ignore[misc]
    """A stream that ends when nothing came for `patience` seconds, or when a packet is too large (1, 7)."""

    def __init__(self, stream: asyncio.StreamReader) -> None:
        self._patience = _CONNECT_SECONDS
        self._stream = stream
        self._loop = asyncio.get_running_loop()
        self._last = self._loop.time()
        self._watch: asyncio.TimerHandle | None = None
        self._look()

    def be_patient(self, seconds: float) -> None:
        """Allow that much silence from now on."""
        self._patience = seconds
        self.stop()
        self._look()

    def _look(self) -> None:
        idle = self._loop.time() - self._last
        if idle >= self._patience:
            self._break("no sign of life")
        else:
            self._watch = self._loop.call_later(min(self._patience - idle + 0.01, 3600.0), self._look)

    def _break(self, why: str) -> None:
        self.stop()
        self._stream.set_exception(ConnectionResetError(why))

    def stop(self) -> None:
        if self._watch is not None:
            self._watch.cancel()

    async def read(self, n: int = -1) -> bytes:
        if n > _PACKET_MAX:
            self._break("packet too large")
        parts = []
        while n > 0:
            part = await self._stream.read(n)
            if not part:
                break
            self._last = self._loop.time()
            parts.append(part)
            n -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def feed_eof(self) -> None:
        self._stream.feed_eof()


class _Writer(StreamWriterAdapter):  # type: ignore[misc]
    """A stream that can be closed although nobody reads the other end (6)."""

    async def close(self) -> None:
        try:
            await asyncio.wait_for(super().close(), _CLOSE_SECONDS)
        except (asyncio.TimeoutError, OSError):
            self._writer.transport.abort()


class _Handler(BrokerProtocolHandler):  # type: ignore[misc]
    async def start(self) -> None:
        if isinstance(self.reader, _Reader):
            # §3.1.2.10: one and a half times the keep-alive. Our reader looks after it; amqtt's own timers rest.
            self.reader.be_patient(1.5 * self.session.keep_alive if self.session.keep_alive else float("inf"))
        self.session.keep_alive = 0
        self.keepalive_timeout = None
        await super().start()

    async def stop(self) -> None:
        if isinstance(self.reader, _Reader):
            self.reader.stop()
        await super().stop()


class MendedBroker(amqtt.broker.Broker):  # type: ignore[misc]
    """amqtt's broker with the nine points above put right."""

    def __init__(self, host: str, port: int) -> None:
        plugins = {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}}
        listener = {"type": "tcp", "bind": f"{host}:{port}"}
        super().__init__({"listeners": {"default": listener}, "plugins": plugins})
        self._stopping = False
        self._routes: dict[str, list[str]] = {}
        self._matchers: list[tuple[str, Callable[[str], bool]]] | None = None  # None: filters came or went

    @classmethod
    def _split_bindaddr_port(cls, port_str: str, default_port: int) -> tuple[str, int]:
        host, _, port = port_str.rpartition(":")  # amqtt's leaves the brackets on an IPv6 address
        return host.strip("[]"), int(port)

    async def stream_connected(self, reader: Any, writer: Any, listener_name: str) -> None:
        """Serve one connection from its first byte to its last."""
        adapter = _Reader(reader)
        try:
            await self._client_connected(listener_name, adapter, _Writer(writer))
        finally:
            adapter.stop()
            writer.close()  # amqtt leaves the socket of whoever sent no good CONNECT open

    async def _delete_session(self, client_id: str) -> None:
        """End the connection that holds this name, as if it had broken, before the next one takes it (2)."""
        session, handler = self._sessions.get(client_id, (None, None))
        if session is not None and session.transitions.state == "connected":
            await self._deliver_rest(session, handler)
            await self._publish_will(session)
            await handler.handle_connection_closed()
        await super()._delete_session(client_id)

    async def _publish_will(self, session: Any) -> None:
        if session.will_flag:
            session.will_flag = False  # once
            await self._broadcast_message(session, session.will_topic, session.will_message, session.will_qos)
            if session.will_retain:
                await self.retain_message(session, session.will_topic, session.will_message, session.will_qos)

    async def _handle_disconnect(self, client_session: Any, handler: Any, disconnect_waiter: Any) -> None:
        await self._deliver_rest(client_session, handler)
        await super()._handle_disconnect(client_session, handler, disconnect_waiter)

    async def _deliver_rest(self, session: Any, handler: Any) -> None:
        """Hand on what its sender knows to be acknowledged (3)."""
        queue = session.delivered_message_queue
        while not queue.empty():
            message: asyncio.Future[Any] = self._loop.create_future()
            message.set_result(queue.get_nowait())
            await self._handle_message_delivery(session, handler, message)

    async def _cleanup_session(self, client_id: str) -> None:
        session = self._sessions.get(client_id, (None, None))[0]
        is_back = session is not None and session.transitions.state != "disconnected"
        if is_back and self.transitions.state == "started" and not self._stopping:
            return  # (5)
        await super()._cleanup_session(client_id)

    async def shutdown(self) -> None:
        """Close every connection and stop listening."""
        self._stopping = True
        await super().shutdown()

    async def _handle_subscription(self, client_session: Any, handler: Any, subscribe_waiter: Any) -> None:
        """Subscribe, and hand over what is retained at this moment, without waiting for acknowledgements (8)."""
        request = subscribe_waiter.result()
        codes = [await self.add_subscription(subscription, client_session) for subscription in request.topics]
        granted = [(matcher(pattern), code) for (pattern, _), code in zip(request.topics, codes, strict=True)]
        kept = [
            (topic, message.data, min(code, message.qos or 0))
            for match, code in granted
            if code != _REFUSED
            for topic, message in self._retained_messages.items()
            if match(topic)
        ]
        await handler.mqtt_acknowledge_subscription(request.packet_id, codes)
        for topic, data, qos in kept:
            self._tasks_queue.append(asyncio.ensure_future(handler.mqtt_publish(topic, data, qos, retain=True)))

    async def _publish_retained_messages_for_subscription(self, subscription: Any, session: Any) -> None:
        subscribers = self._subscriptions.get(subscription[0], ())
        if any(subscriber is session for subscriber, _ in subscribers):  # (4)
            await super()._publish_retained_messages_for_subscription(subscription, session)

    async def _run_broadcast(self, running_tasks: Any) -> None:
        """Hand one message to the subscribers; looks up filters instead of trying all (9)."""
        broadcast = await self._broadcast_queue.get()
        topic, data = broadcast["topic"], broadcast["data"]
        for pattern in self._find_filters(topic):
            for session, granted in list(self._subscriptions.get(pattern, ())):
                handler = self._get_handler(session)
                if handler is not None and session.transitions.state == "connected":
                    qos = min(broadcast.get("qos", granted), granted)
                    running_tasks.append(asyncio.ensure_future(handler.mqtt_publish(topic, data, qos, retain=False)))

    def _find_filters(self, topic: str) -> list[str]:
        if self._matchers is None or len(self._routes) >= _ROUTES_MAX:
            self._matchers = [(pattern, matcher(pattern)) for pattern in self._subscriptions]
            self._routes.clear()
        if topic not in self._routes:
            self._routes[topic] = [pattern for pattern, match in self._matchers if match(topic)]
        return self._routes[topic]

    async def add_subscription(self, subscription: tuple[str, int], session: Any) -> int:
        """Add a subscription and return its QoS, or 0x80 if the filter is malformed."""
        if subscription[0] not in self._subscriptions:
            self._matchers = None
        return int(await super().add_subscription(subscription, session))

    async def _del_all_subscriptions(self, session: Any) -> None:
        self._matchers = None
        await super()._del_all_subscriptions(session)


def run(host: str, port: int) -> None:
    """Run the broker until SIGTERM, SIGINT or the end of a piped standard input."""
    logging.basicConfig(stream=sys.stderr, level=logging.ERROR, format="%(asctime)s %(name)s: %(message)s")
    logging.getLogger("amqtt").setLevel(logging.CRITICAL)  # it logs a traceback whenever a client vanishes
    amqtt.broker.BrokerProtocolHandler = _Handler  # the name under which amqtt makes its handlers
    asyncio.run(_serve(host, port))
    sys.stderr.flush()
    os._exit(0)  # the thread that waits for the end of standard input must not hold us


async def _serve(host: str, port: int) -> None:
    loop = asyncio.get_running_loop()
    told_to_stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told_to_stop.set)
    if stat.S_ISFIFO(os.fstat(0).st_mode):
        threading.Thread(target=_wait_for_end_of_input, args=(loop, told_to_stop), daemon=True).start()
    broker = MendedBroker(host, port)
    await broker.start()
    await told_to_stop.wait()
    with contextlib.suppress(asyncio.TimeoutError):  # from Python 3.12 on, closing waits for every client
        await asyncio.wait_for(broker.shutdown(), _SHUTDOWN_SECONDS)


def _wait_for_end_of_input(loop: asyncio.AbstractEventLoop, told_to_stop: asyncio.Event) -> None:
    while os.read(0, 4096):
        pass
    loop.call_soon_threadsafe(told_to_stop.set)
