"""The in-memory broker: what MQTT promises, and what a test may do to it."""

import threading

import numpy as np
import pytest

from edgewise_wire.errors import ConfigError, TransportError
from edgewise_wire.transport.base import Connected, Disconnected, Event, Message, Transport, Will
from edgewise_wire.transport.memory import Faults, MemoryBroker


def drain(link: Transport) -> list[Event]:
    events = []
    while (event := link.poll()) is not None:
        events.append(event)
    return events


def payloads(link: Transport) -> list[bytes]:
    return [event.payload for event in drain(link) if isinstance(event, Message)]


def test_a_link_first_says_that_it_is_up() -> None:
    assert drain(MemoryBroker().connect("a")) == [Connected()]


def test_a_message_reaches_every_subscriber_once_even_through_overlapping_filters() -> None:
    broker = MemoryBroker()
    one, two, deaf = broker.connect("one"), broker.connect("two"), broker.connect("deaf")
    one.subscribe("a/b", "a/+", "#")
    two.subscribe("a/+")
    one.publish("a/b", b"x")
    assert (payloads(one), payloads(two), payloads(deaf)) == ([b"x"], [b"x"], [])


def test_unsubscribing_stops_the_flow() -> None:
    broker = MemoryBroker()
    link = broker.connect("a")
    link.subscribe("a/b", "c/+")
    link.unsubscribe("a/b", "c/+", "never/asked")
    link.publish("a/b", b"1")
    link.publish("c/d", b"2")
    assert payloads(link) == []


def test_retained_messages_greet_a_new_subscriber_and_an_empty_one_clears_them() -> None:
    broker = MemoryBroker()
    link = broker.connect("a")
    for n in (b"1", b"2"):
        link.publish("state/a", n, retain=True)
    link.publish("state/b", b"3", retain=True)
    link.publish("state/b", b"", retain=True)
    late = broker.connect("late")
    late.subscribe("state/+", "state/a")
    assert drain(late)[1:] == [Message("state/a", b"2", True)] * 2
    link.publish("state/a", b"4", retain=True)
    assert drain(late) == [Message("state/a", b"4", False)]


def test_a_will_is_published_on_a_cut_and_not_on_a_goodbye() -> None:
    broker = MemoryBroker()
    watcher = broker.connect("watcher")
    watcher.subscribe("state/+")
    polite, abrupt = (broker.connect(name, will=Will(f"state/{name}", b"gone")) for name in ("polite", "abrupt"))
    polite.close()
    broker.cut("abrupt", "pulled the plug")
    broker.cut("abrupt")
    assert drain(watcher)[1:] == [Message("state/abrupt", b"gone")]
    assert drain(abrupt) == [Connected(), Disconnected("pulled the plug")]
    assert broker.retained() == {"state/abrupt": b"gone"}


def test_what_is_published_while_cut_waits_in_order_and_what_others_say_is_lost() -> None:
    broker = MemoryBroker()
    device, other = broker.connect("device"), broker.connect("other")
    device.subscribe("down")
    other.subscribe("up")
    broker.cut("device")
    device.publish("up", b"1")
    device.publish("up", b"fire and forget", qos=0)
    device.publish("up", b"2")
    other.publish("down", b"unheard: the session is clean")
    assert (device.pending, payloads(other)) == (2, [])
    broker.mend("device")
    assert (device.pending, payloads(other)) == (0, [b"1", b"2"])
    other.publish("down", b"heard")
    assert payloads(device) == [b"heard"]


def test_a_full_outbox_raises() -> None:
    broker = MemoryBroker()
    link = broker.connect("a", outbox_limit=1)
    broker.cut("a")
    link.publish("up", b"1")
    with pytest.raises(TransportError, match="1 messages wait"):
        link.publish("up", b"2")


@pytest.mark.parametrize("keep", [True, False])
def test_a_restarted_broker_keeps_or_forgets_what_was_retained(keep: bool) -> None:
    broker = MemoryBroker()
    link, held = broker.connect("a"), broker.connect("held")
    link.subscribe("state/+")
    link.publish("state/a", b"1", retain=True)
    drain(link)
    broker.cut("held")
    broker.stop()
    with pytest.raises(TransportError, match="stopped"):
        broker.connect("b")
    broker.start(keep_retained=keep)
    expected: list[Event] = [Disconnected("the broker stopped"), Connected()]
    assert drain(link) == expected + [Message("state/a", b"1", True)] * keep
    assert held.poll() == Connected()
    assert drain(held)[1:] == []
    broker.mend("held")
    assert drain(held) == [Connected()]


def test_a_second_client_of_the_same_name_takes_over() -> None:
    broker = MemoryBroker()
    old = broker.connect("a", will=Will("state/a", b"gone"))
    new = broker.connect("a")
    new.subscribe("state/a")
    assert [type(event) for event in drain(old)] == [Connected, Disconnected]
    assert payloads(new) == [b"gone"]
    old.close()
    broker.cut("a")
    assert drain(new) == [Disconnected("the link was cut")]


def test_a_closed_link_publishes_nothing_more() -> None:
    link = MemoryBroker().connect("a")
    link.close()
    with pytest.raises(TransportError, match=r"after close"):
        link.publish("a", b"")


def test_a_full_queue_drops_and_counts() -> None:
    broker = MemoryBroker(queue_limit=3)
    link = broker.connect("a")
    drain(link)
    link.subscribe("t")
    for n in range(5):
        link.publish("t", bytes([n]))
    assert payloads(link) == [b"\0", b"\1", b"\2"]
    assert (broker.traffic.published, broker.traffic.delivered, broker.traffic.dropped) == (5, 3, 2)


def faulty_run(seed: int, faults: Faults) -> list[bytes]:
    broker = MemoryBroker(faults=faults, rng=np.random.default_rng(seed))
    link = broker.connect("a")
    link.subscribe("t")
    for n in range(200):
        link.publish("t", bytes([n]))
    return payloads(link)


def test_faults_are_seeded() -> None:
    everything = Faults(drop=0.2, duplicate=0.2, reorder=0.2)
    assert faulty_run(1, everything) == faulty_run(1, everything) != faulty_run(2, everything)


def test_each_fault_does_its_own_harm() -> None:
    sent = [bytes([n]) for n in range(200)]
    dropped, doubled, mixed = (faulty_run(3, Faults(**{kind: 0.25})) for kind in ("drop", "duplicate", "reorder"))
    assert len(dropped) < 200
    assert dropped == sorted(dropped)
    assert len(doubled) > 200
    assert sorted(set(doubled)) == sent
    assert mixed != sent
    assert sorted(mixed) == sent


def test_faults_need_a_generator() -> None:
    with pytest.raises(ConfigError, match="rng"):
        MemoryBroker(faults=Faults(drop=0.5))


def test_poll_wakes_up_for_a_message_from_another_thread() -> None:
    broker = MemoryBroker()
    reader, writer = broker.connect("reader"), broker.connect("writer")
    reader.subscribe("t")
    drain(reader)
    threading.Timer(0.02, writer.publish, ("t", b"x")).start()
    assert reader.poll(30) == Message("t", b"x")


def test_poll_returns_when_the_link_is_closed_or_time_is_up() -> None:
    link = MemoryBroker().connect("a")
    drain(link)
    assert link.poll(0.01) is None
    threading.Timer(0.02, link.close).start()
    assert link.poll(30) is None


def test_several_threads_lose_nothing_and_keep_each_ones_order() -> None:
    broker = MemoryBroker()
    reader = broker.connect("reader")
    reader.subscribe("from/+")
    writers = [broker.connect(f"w{n}") for n in range(4)]

    def write(number: int) -> None:
        for n in range(500):
            writers[number].publish(f"from/{number}", n.to_bytes(2, "big"))

    threads = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    seen: dict[str, list[int]] = {f"from/{n}": [] for n in range(4)}
    while sum(map(len, seen.values())) < 2000 and (event := reader.poll(30)) is not None:
        if isinstance(event, Message):
            seen[event.topic].append(int.from_bytes(event.payload, "big"))
    for thread in threads:
        thread.join()
    assert all(numbers == list(range(500)) for numbers in seen.values())
