"""A TCP proxy that understands MQTT's framing and does harm on request: a bad network, and the limits of AWS IoT Core.

It runs an event loop in a thread of its own; its attributes may be set from the test's thread at any time.

    with MqttProxy(broker.url) as proxy:
        link = MqttTransport(proxy.url, "pi-7").connect()
        proxy.cut()                      # the link breaks now, as by a reset
        proxy.faults = NetworkFaults(duplicate=0.1, reorder=0.1, delay=0.05)
        proxy.black_hole = True          # nothing passes, and nobody is told
        proxy.limits = AWS_IOT_CORE      # whoever breaks one is thrown out; see proxy.offences
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import numpy as np

CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK, PINGREQ, PINGRESP = 1, 2, 3, 4, 8, 9, 12, 13
UP, DOWN = "up", "down"  # towards the broker, towards the client
_LONE_SECONDS = 0.05  # a held packet that nothing overtakes goes on after this
_SILENT_LOOK = 0.02


@dataclass(frozen=True)
class Packet:
    """One MQTT packet as it passes: the connection's number, the direction, and all its bytes."""

    connection: int
    direction: str
    raw: bytes
    body_at: int

    @property
    def kind(self) -> int:
        return self.raw[0] >> 4

    @property
    def topic(self) -> str:
        length = int.from_bytes(self.raw[self.body_at : self.body_at + 2], "big")
        return self.raw[self.body_at + 2 : self.body_at + 2 + length].decode()

    @property
    def qos(self) -> int:
        return (self.raw[0] >> 1) & 3

    @property
    def payload(self) -> bytes:
        """The payload of a PUBLISH of MQTT 3.1.1."""
        length = int.from_bytes(self.raw[self.body_at : self.body_at + 2], "big")
        return self.raw[self.body_at + 2 + length + (2 if self.qos else 0) :]


@dataclass(frozen=True)
class NetworkFaults:
    """`delay` seconds for each packet; the odds that a PUBLISH is doubled, and that it is swapped with the next."""

    delay: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0


@dataclass(frozen=True)
class ServiceLimits:
    """What a hosted broker refuses from one connection by closing it; rates are counted over the last second."""

    packet_bytes: float = float("inf")
    topic_levels: float = float("inf")
    publishes_per_second: float = float("inf")
    bytes_per_second: float = float("inf")
    filters_per_subscribe: float = float("inf")


AWS_IOT_CORE = ServiceLimits(
    packet_bytes=128 * 1024,
    topic_levels=8,  # seven slashes
    publishes_per_second=100,
    bytes_per_second=512 * 1024,
    filters_per_subscribe=8,
)


@dataclass
class Seen:
    """What passed in one direction."""

    packets: int = 0
    publishes: int = 0
    bytes: int = 0
    largest: int = 0


@dataclass
class _Connection:
    number: int
    client: tuple[asyncio.StreamReader, asyncio.StreamWriter]
    broker: tuple[asyncio.StreamReader, asyncio.StreamWriter]
    recent: deque[tuple[float, int, bool]] = field(default_factory=deque)  # (when, bytes, is a publish)

    def abort(self) -> None:
        for _, writer in (self.client, self.broker):
            writer.transport.abort()


Hook = Callable[[Packet], "list[bytes] | None"]


class MqttProxy:
    """A proxy in front of the broker at `upstream`, a url. `seed` feeds the dice of `faults`.

    `hook` sees each packet first, in the proxy's thread: it returns `None` to let it pass, a list of packets to send
    instead, or raises `Cut` to break the connection there, the packet lost. `Cut(after=True)` lets it pass first.
    """

    def __init__(self, upstream: str, *, seed: int = 0) -> None:
        parts = urlsplit(upstream)
        self._upstream = (parts.hostname or "127.0.0.1", parts.port or 1883)
        self._rng = np.random.default_rng(seed)
        self.faults = NetworkFaults()
        self.limits = ServiceLimits()
        self.hook: Hook | None = None
        self.black_hole = False
        self.refuse = False
        self.offences: list[str] = []
        self.seen = {UP: Seen(), DOWN: Seen()}
        self.connections = 0
        self.url = ""
        self._live: dict[int, _Connection] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="mqtt-proxy", daemon=True)
        self._server: asyncio.Server | None = None

    def __enter__(self) -> MqttProxy:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def cut(self) -> None:
        """Break every connection now."""

        async def cut_all() -> None:
            for connection in list(self._live.values()):
                connection.abort()

        asyncio.run_coroutine_threadsafe(cut_all(), self._loop).result(10)

    @property
    def live(self) -> int:
        """How many connections there are now."""
        return len(self._live)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"mqtt://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _end(self) -> None:
        if self._server is not None:
            self._server.close()
        for connection in list(self._live.values()):
            connection.abort()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if self.refuse:
            writer.transport.abort()
            return
        try:
            broker = await asyncio.open_connection(*self._upstream)
        except OSError:
            writer.transport.abort()
            return
        self.connections += 1
        connection = self._live[self.connections] = _Connection(self.connections, (reader, writer), broker)
        try:
            await asyncio.gather(self._pump(connection, UP), self._pump(connection, DOWN))
        except (Cut, asyncio.IncompleteReadError, OSError):
            pass
        finally:
            connection.abort()
            del self._live[connection.number]

    async def _pump(self, connection: _Connection, direction: str) -> None:
        (reader, _), (_, writer) = (
            (connection.client, connection.broker) if direction == UP else (connection.broker, connection.client)
        )
        line: asyncio.Queue[tuple[float, bytes] | None] = asyncio.Queue()
        sender = asyncio.ensure_future(self._send_when_due(line, writer))
        try:
            held: bytes | None = None
            while True:
                timeout = _LONE_SECONDS if held is not None else None
                try:
                    packet = await asyncio.wait_for(_read_packet(reader, connection.number, direction), timeout)
                except asyncio.TimeoutError:
                    packet = None
                if packet is None:  # nothing came to overtake the one held
                    assert held is not None
                    outgoing, held = [held], None
                else:
                    outgoing, held = self._treat(connection, packet, held)
                for raw in outgoing:
                    line.put_nowait((self._loop.time() + self.faults.delay, raw))
                if sender.done():
                    sender.result()
        except Cut as cut:
            if cut.after and cut.raw:
                line.put_nowait((0.0, cut.raw))
            raise
        except asyncio.IncompleteReadError:
            if held is not None:
                line.put_nowait((0.0, held))
            raise
        finally:
            line.put_nowait(None)
            with contextlib.suppress(asyncio.CancelledError, OSError, asyncio.TimeoutError):
                await asyncio.wait_for(sender, 5 + self.faults.delay)

    def _treat(self, connection: _Connection, packet: Packet, held: bytes | None) -> tuple[list[bytes], bytes | None]:
        """Return what to send now, and the PUBLISH to hold back for the next to overtake."""
        seen = self.seen[packet.direction]
        seen.packets += 1
        seen.bytes += len(packet.raw)
        seen.largest = max(seen.largest, len(packet.raw))
        seen.publishes += packet.kind == PUBLISH
        if packet.direction == UP:
            self._enforce(connection, packet)
        replaced = self._ask_hook(packet)
        if replaced is not None:
            return [*([held] if held else []), *replaced], None
        outgoing = [packet.raw]
        if packet.kind == PUBLISH and self.faults.duplicate and self._rng.random() < self.faults.duplicate:
            outgoing.append(bytes([packet.raw[0] | 0x08]) + packet.raw[1:])  # with the DUP flag
        if held is not None:
            return [*outgoing, held], None
        if packet.kind == PUBLISH and self.faults.reorder and self._rng.random() < self.faults.reorder:
            return outgoing[1:], outgoing[0]
        return outgoing, None

    def _ask_hook(self, packet: Packet) -> list[bytes] | None:
        if self.hook is None:
            return None
        try:
            return self.hook(packet)
        except Cut as cut:
            cut.raw = packet.raw
            raise

    def _enforce(self, connection: _Connection, packet: Packet) -> None:
        limits, now = self.limits, self._loop.time()
        recent = connection.recent
        recent.append((now, len(packet.raw), packet.kind == PUBLISH))
        while recent[0][0] <= now - 1.0:
            recent.popleft()
        publishes = sum(is_publish for _, _, is_publish in recent)
        rate = sum(size for _, size, _ in recent)
        self._check("bytes in a packet", len(packet.raw), limits.packet_bytes)
        self._check("publishes in a second", publishes, limits.publishes_per_second)
        if len(recent) > 1:  # a single packet is the packet limit's affair
            self._check("bytes in a second", rate, limits.bytes_per_second)
        if packet.kind == PUBLISH:
            self._check(f"levels in {packet.topic}", packet.topic.count("/") + 1, limits.topic_levels)
        if packet.kind == SUBSCRIBE:
            self._check("filters in a SUBSCRIBE", _count_filters(packet), limits.filters_per_subscribe)

    def _check(self, what: str, value: float, limit: float) -> None:
        if value > limit:
            self.offences.append(f"{value:g} {what}, allowed {limit:g}")
            raise Cut

    async def _send_when_due(
        self, line: asyncio.Queue[tuple[float, bytes] | None], writer: asyncio.StreamWriter
    ) -> None:
        while (item := await line.get()) is not None:
            due, raw = item
            if (wait := due - self._loop.time()) > 0:
                await asyncio.sleep(wait)
            while self.black_hole:
                await asyncio.sleep(_SILENT_LOOK)
            writer.write(raw)
            await writer.drain()


class Cut(Exception):  # noqa: N818 (an order, not an error)
    """Raised by a hook to break the connection at this packet; `after` lets the packet reach the other side first."""

    def __init__(self, *, after: bool = False) -> None:
        super().__init__()
        self.after = after
        self.raw = b""


async def _read_packet(reader: asyncio.StreamReader, connection: int, direction: str) -> Packet:
    header = await reader.readexactly(1)
    length, shift = 0, 0
    while True:
        byte = await reader.readexactly(1)
        header += byte
        length |= (byte[0] & 0x7F) << shift
        shift += 7
        if not byte[0] & 0x80:
            break
    return Packet(connection, direction, header + await reader.readexactly(length), len(header))


def _count_filters(packet: Packet) -> int:
    body, count = packet.raw[packet.body_at + 2 :], 0
    while body:
        body = body[2 + int.from_bytes(body[:2], "big") + 1 :]
        count += 1
    return count
