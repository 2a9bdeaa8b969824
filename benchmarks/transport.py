"""How fast messages pass: one sender, one receiver, a broker between them, all on this machine.

    python benchmarks/transport.py [--broker memory --broker embedded --broker mosquitto] [--json]

Two kinds of load, each after a first run that warms the broker up: chunks of 127 KiB, in MB of payload a second, and
messages of 64 bytes, in messages a second; then the round trip of a single small message, the median of 200. Sender and
receiver each have a link of their own; at most 64 messages are under way, so that no broker drops any. Every payload is
compared with what was sent.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import click

from edgewise.brokers.choose import make_broker
from edgewise_wire.transport.base import Message, Transport
from edgewise_wire.transport.memory import MemoryBroker
from edgewise_wire.transport.mqtt import MqttTransport

CHUNK = bytes(range(256)) * (127 * 4)
SMALL = b"s" * 64
WINDOW = 64
TOPIC = "benchmark/x"


def pump(sender: Transport, receiver: Transport, payload: bytes, count: int) -> float:
    """Send `count` payloads through and return the seconds it took until the last had arrived."""
    began = time.perf_counter()
    sent = received = 0
    while received < count:
        while sent < count and sent - received < WINDOW:
            sender.publish(TOPIC, payload)
            sent += 1
        event = receiver.poll(0.05)
        if isinstance(event, Message):
            if event.payload != payload:
                raise AssertionError("a payload was changed on its way")
            received += 1
    return time.perf_counter() - began


def round_trip(sender: Transport, receiver: Transport) -> float:
    """Return the median seconds from publish to poll of one small message."""
    times = []
    for _ in range(200):
        times.append(pump(sender, receiver, SMALL, 1))
    return statistics.median(times)


def measure(connect: Callable[[str], Transport], seconds: float) -> dict[str, float]:
    """Return the figures for one broker; each load runs for about `seconds`."""
    receiver, sender = connect("receiver"), connect("sender")
    pump(sender, receiver, CHUNK, 20)
    chunks = max(20, int(seconds * 20 / pump(sender, receiver, CHUNK, 20)))
    pump(sender, receiver, SMALL, 200)
    smalls = max(200, int(seconds * 200 / pump(sender, receiver, SMALL, 200)))
    chunk_seconds, small_seconds = pump(sender, receiver, CHUNK, chunks), pump(sender, receiver, SMALL, smalls)
    figures = {
        "chunk_MB_per_s": chunks * len(CHUNK) / chunk_seconds / 1e6,
        "small_per_s": smalls / small_seconds,
        "round_trip_ms": 1e3 * round_trip(sender, receiver),
    }
    sender.close()
    receiver.close()
    return figures


def links(kind: str, url: str) -> Callable[[str], Transport]:
    """Return what makes a connected link that hears the benchmark's topic if it is the receiver."""
    memory = MemoryBroker()

    def connect(name: str) -> Transport:
        link: Any = memory.connect(name) if kind == "memory" else MqttTransport(url, f"benchmark-{name}")
        if name == "receiver":
            link.subscribe(TOPIC)
        if kind != "memory":
            link.connect()
        return link  # type: ignore[no-any-return]

    return connect


@click.command()
@click.option("--broker", "kinds", multiple=True, default=("memory", "embedded", "mosquitto"), help="Which ones.")
@click.option("--seconds", default=2.0, show_default=True, help="Of each load.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of the table.")
def main(kinds: tuple[str, ...], seconds: float, as_json: bool) -> None:
    """Measure the brokers named."""
    results = {}
    for kind in kinds:
        with tempfile.TemporaryDirectory() as folder:
            process: AbstractContextManager[Any] = (
                nullcontext() if kind == "memory" else make_broker(kind, Path(folder))
            )
            with process as broker:
                results[kind] = measure(links(kind, getattr(broker, "url", "")), seconds)
    if as_json:
        click.echo(json.dumps(results))
        return
    click.echo(f"{'broker':<10} {'127 KiB chunks':>16} {'64 bytes':>16} {'round trip':>12}")
    for kind, figures in results.items():
        chunk, small, trip = figures["chunk_MB_per_s"], figures["small_per_s"], figures["round_trip_ms"]
        click.echo(f"{kind:<10} {chunk:>11.0f} MB/s {small:>11.0f} /s {trip:>9.2f} ms")


if __name__ == "__main__":
    main()
