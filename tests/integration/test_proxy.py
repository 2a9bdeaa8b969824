"""The test proxy itself: each fault does its harm, each limit throws its offender out, and nothing else happens."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from edgewise_wire.transport.base import Connected, Disconnected, Message
from edgewise_wire.transport.mqtt import MqttTransport
from tests.support.broker_fixtures import BrokerUnderTest, messages, next_event, settle
from tests.support.proxy import AWS_IOT_CORE, DOWN, UP, MqttProxy, NetworkFaults, ServiceLimits


@pytest.fixture
def proxy(mosquitto: BrokerUnderTest) -> Iterator[MqttProxy]:
    with MqttProxy(mosquitto.url, seed=1) as proxy:
        yield proxy


@pytest.fixture
def link(proxy: MqttProxy, mosquitto: BrokerUnderTest) -> Iterator[MqttTransport]:
    link = MqttTransport(proxy.url, mosquitto.topic("proxied").replace("/", "-"))
    link.subscribe(mosquitto.topic("#"))
    link.connect()
    link._backoff._cap = 0.01
    assert link.poll() == Connected()
    yield link
    link.close(flush=0)


def echo(link: MqttTransport, topic: str, count: int) -> list[int]:
    for n in range(count):
        link.publish(topic, n.to_bytes(2, "big"))
    return [int.from_bytes(m.payload, "big") for m in messages(link, count)]


def test_without_orders_everything_passes(link: MqttTransport, proxy: MqttProxy, mosquitto: BrokerUnderTest) -> None:
    assert echo(link, mosquitto.topic("x"), 100) == list(range(100))
    assert (proxy.seen[UP].publishes, proxy.seen[DOWN].publishes) == (100, 100)
    assert (proxy.connections, proxy.live, proxy.offences) == (1, 1, [])


def test_a_delay_holds_each_packet_and_keeps_the_order(
    link: MqttTransport, proxy: MqttProxy, mosquitto: BrokerUnderTest
) -> None:
    proxy.faults = NetworkFaults(delay=0.1)
    began = time.monotonic()
    assert echo(link, mosquitto.topic("x"), 20) == list(range(20))
    assert time.monotonic() - began >= 0.2, "a tenth of a second each way"


def test_doubled_publishes_come_twice(link: MqttTransport, proxy: MqttProxy, mosquitto: BrokerUnderTest) -> None:
    proxy.faults = NetworkFaults(duplicate=1.0)
    link.publish(mosquitto.topic("x"), b"once")
    assert [m.payload for m in messages(link, 4)] == [b"once"] * 4, "doubled on the way up and on the way down"


def test_reordered_publishes_all_come(link: MqttTransport, proxy: MqttProxy, mosquitto: BrokerUnderTest) -> None:
    proxy.faults = NetworkFaults(reorder=0.5)
    heard = echo(link, mosquitto.topic("x"), 50)
    assert heard != sorted(heard)
    assert sorted(heard) == list(range(50))


def test_a_cut_breaks_and_refuse_keeps_away(link: MqttTransport, proxy: MqttProxy) -> None:
    proxy.refuse = True
    proxy.cut()
    next_event(link, Disconnected)
    assert link.poll(0.1) is None
    proxy.refuse = False
    next_event(link, Connected)
    assert proxy.connections == 2


def test_a_black_hole_holds_everything_until_it_closes(
    link: MqttTransport, proxy: MqttProxy, mosquitto: BrokerUnderTest
) -> None:
    proxy.black_hole = True
    link.publish(mosquitto.topic("x"), b"1")
    assert link.poll(0.2) is None
    proxy.black_hole = False
    assert messages(link, 1) == [Message(mosquitto.topic("x"), b"1")]
    settle(link)


@pytest.mark.parametrize(
    ("limits", "offence"),
    [
        (ServiceLimits(packet_bytes=1000), "bytes in a packet"),
        (ServiceLimits(topic_levels=3), "levels in"),
        (ServiceLimits(publishes_per_second=2), "publishes in a second"),
        (ServiceLimits(bytes_per_second=2500), "bytes in a second"),
    ],
)
def test_whoever_breaks_a_limit_is_thrown_out(
    link: MqttTransport, proxy: MqttProxy, mosquitto: BrokerUnderTest, limits: ServiceLimits, offence: str
) -> None:
    proxy.limits = limits
    for _ in range(3):
        link.publish(mosquitto.topic("a/b/c"), bytes(1000))
    next_event(link, Disconnected)
    assert offence in proxy.offences[0]


def test_what_stays_under_the_limits_of_aws_passes(
    link: MqttTransport, proxy: MqttProxy, mosquitto: BrokerUnderTest
) -> None:
    proxy.limits = AWS_IOT_CORE
    link.publish(mosquitto.topic("a/b/c/d"), bytes(127 * 1024))
    assert len(messages(link, 1)[0].payload) == 127 * 1024
    assert proxy.offences == []
