"""Several connections look like one: blobs are spread, order holds per topic, nothing else changes."""

import pytest

from edgewise_wire.errors import ConfigError
from edgewise_wire.transport.base import Connected, Message
from edgewise_wire.transport.memory import MemoryBroker, MemoryTransport
from edgewise_wire.transport.sharded import ShardedTransport


def links(broker: MemoryBroker, count: int) -> list[MemoryTransport]:
    return [broker.connect(f"c{n}") for n in range(count)]


def test_blobs_are_spread_over_all_and_the_rest_keeps_to_the_first() -> None:
    broker = MemoryBroker()
    parts = links(broker, 4)
    published: list[tuple[int, str]] = []
    for number, part in enumerate(parts):
        original = part.publish

        def spy(topic, payload, *, number=number, original=original, **options):
            published.append((number, topic))
            original(topic, payload, **options)

        part.publish = spy  # type: ignore[method-assign]
    link = ShardedTransport(parts)
    for index in range(64):
        link.publish(f"ew/1/home/blob/ab/{index}", b"x", retain=True)
        link.publish(f"ew/1/home/blob/ab/{index}", b"", retain=True)
        link.publish("ew/1/home/device/d/down", b"y")
    by_topic: dict[str, set[int]] = {}
    for number, topic in published:
        by_topic.setdefault(topic, set()).add(number)
    assert all(len(numbers) == 1 for numbers in by_topic.values())
    assert {number for number, topic in published if "/blob/" in topic} == {0, 1, 2, 3}
    assert by_topic["ew/1/home/device/d/down"] == {0}
    assert len(published) == 192


def test_it_hears_what_the_first_one_hears() -> None:
    broker = MemoryBroker()
    link, other = ShardedTransport(links(broker, 3)), broker.connect("other")
    link.subscribe("a/+")
    other.publish("a/b", b"1")
    events = [link.poll() for _ in range(3)]
    assert events == [Connected(), Message("a/b", b"1"), None]
    link.unsubscribe("a/+")
    other.publish("a/b", b"2")
    assert link.poll() is None
    link.close()
    assert link.pending == 0


def test_no_connection_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least one"):
        ShardedTransport([])
