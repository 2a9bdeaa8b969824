"""The link to a real broker: limits, refusals, bad networks. What all transports share is in test_transport_brokers."""

from __future__ import annotations

import base64
import hashlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edgewise_wire.errors import ConfigError, TransportError
from edgewise_wire.transport.base import Connected, Disconnected, Message, Will
from edgewise_wire.transport.mqtt import MqttTransport
from edgewise_wire.transport.pacing import PublishRate
from tests.support.broker_fixtures import BrokerUnderTest, make_mosquitto, messages, next_event, settle
from tests.support.proxy import (
    AWS_IOT_CORE,
    DOWN,
    PINGREQ,
    PUBACK,
    PUBLISH,
    SUBACK,
    SUBSCRIBE,
    UP,
    Cut,
    MqttProxy,
    NetworkFaults,
    Packet,
)

NOBODY = "mqtt://127.0.0.1:9"  # the discard port: nobody listens


def quick(link: MqttTransport) -> MqttTransport:
    """Make a link try again at once."""
    link._backoff._cap = 0.02
    return link


@pytest.fixture
def proxy(mosquitto: BrokerUnderTest) -> Iterator[MqttProxy]:
    with MqttProxy(mosquitto.url) as proxy:
        yield proxy


@pytest.fixture
def silent_server() -> Iterator[str]:
    """The address of something that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"mqtt://127.0.0.1:{server.getsockname()[1]}"


# What it is told.


@pytest.mark.parametrize(
    "options", [{"keepalive": 0}, {"keepalive": 70_000}, {"ca": "x"}, {"protocol": "3.1"}, {"will": Will("a/+", b"")}]
)
def test_impossible_settings_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        MqttTransport(NOBODY, "a", **options)  # type: ignore[arg-type]


def test_impossible_publishes_are_refused() -> None:
    link = MqttTransport(NOBODY, "a")
    for topic, payload, qos in (("a/+", b"", 1), ("a", b"", 2), ("a", bytes(2 * 1024 * 1024 + 1), 1)):
        with pytest.raises(ConfigError):
            link.publish(topic, payload, qos=qos)
    with pytest.raises(ConfigError):
        link.subscribe("a/#/b")
    link.close()


# The first connection.


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (NOBODY, "nobody listens there; start a broker"),
        ("mqtt://no-such-host.invalid", "host name is unknown"),
        ("mqtts://127.0.0.1:9", "nobody listens there"),
    ],
)
def test_a_broker_that_is_not_there_is_named_with_advice(url: str, expected: str) -> None:
    with pytest.raises(TransportError, match=expected) as caught:
        MqttTransport(url, "a").connect()
    assert url in str(caught.value)


def test_a_server_that_never_answers_is_given_up_in_time(silent_server: str) -> None:
    with pytest.raises(TransportError, match=r"no answer within 0.2 s"):
        MqttTransport(silent_server, "a").connect(timeout=0.2)


def test_a_server_that_speaks_something_else_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def chat() -> None:
            client, _ = server.accept()
            client.recv(1000)
            client.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            time.sleep(0.1)
            client.close()

        threading.Thread(target=chat, daemon=True).start()
        with pytest.raises(TransportError, match=r"127\.0\.0\.1"):
            MqttTransport(f"mqtt://127.0.0.1:{server.getsockname()[1]}", "a").connect()


@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
def test_a_broker_that_wants_a_password_says_so_and_the_right_one_opens(tmp_path: Path, protocol: str) -> None:
    passwords = tmp_path / "passwords"
    # As mosquitto_passwd hashes it: PBKDF2 with SHA-512.
    salt = b"twelve bytes"
    digest = hashlib.pbkdf2_hmac("sha512", b"secret", salt, 101)
    passwords.write_text(f"pi:$7$101${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}\n")
    passwords.chmod(0o600)
    extra = [f"password_file {passwords}"]
    with make_mosquitto(tmp_path / "broker", extra=extra, allow_anonymous=False) as process:
        with pytest.raises(TransportError, match="user name and password"):
            MqttTransport(process.url, "a", protocol=protocol).connect()
        with pytest.raises(TransportError, match="user name and password") as caught:
            MqttTransport(process.url, "a", username="pi", password="wr0ng", protocol=protocol).connect()
        assert "wr0ng" not in str(caught.value)
        MqttTransport(process.url, "a", username="pi", password="secret", protocol=protocol).connect().close()
        MqttTransport(process.url.replace("//", "//pi:secret@"), "a", protocol=protocol).connect().close()


def test_start_waits_for_a_broker_that_comes_later(mosquitto: BrokerUnderTest) -> None:
    with MqttProxy(mosquitto.url) as proxy:
        proxy.refuse = True
        link = quick(MqttTransport(proxy.url, mosquitto.topic("late").replace("/", "-")))
        link.subscribe(mosquitto.topic("x"))
        link.publish(mosquitto.topic("x"), b"early")
        link.start()
        assert isinstance(link.poll(10), Disconnected)
        assert link.poll(0.1) is None, "told once, however many attempts fail"
        proxy.refuse = False
        assert link.poll(10) == Connected()
        assert messages(link, 1)[0].payload == b"early"
        link.close()


def test_a_transport_connects_once(mosquitto: BrokerUnderTest) -> None:
    link = mosquitto.connect("a")
    with pytest.raises(TransportError, match="once"):
        link.connect()
    link.close()
    with pytest.raises(TransportError, match="after close"):
        link.publish("x", b"")
    assert link.poll(0.01) in (None, Connected())


# Refusals.


def deny(kind: int) -> object:
    def hook(packet: Packet) -> list[bytes] | None:
        if packet.kind == kind and packet.direction == DOWN:
            return [packet.raw[:4] + b"\x80" * (len(packet.raw) - 4)]
        return None

    return hook


def test_a_refused_subscription_is_raised_by_connect_or_by_poll(proxy: MqttProxy, mosquitto: BrokerUnderTest) -> None:
    proxy.hook = deny(SUBACK)  # type: ignore[assignment]
    early = MqttTransport(proxy.url, "refused-early")
    early.subscribe("secret/#")
    with pytest.raises(TransportError, match=r"refused the subscription to 'secret/#'.*access rules"):
        early.connect()
    late = MqttTransport(proxy.url, "refused-late").connect()
    assert late.poll() == Connected()
    late.subscribe("secret/#")
    with pytest.raises(TransportError, match="refused the subscription"):
        late.poll(10)
    late.subscribe(mosquitto.topic("x"))
    proxy.hook = None
    late.close()


def test_mqtt_5_tells_when_a_message_was_refused(tmp_path: Path) -> None:
    rules = tmp_path / "acl"
    rules.write_text("topic read #\ntopic write allowed\n")
    rules.chmod(0o600)
    with make_mosquitto(tmp_path / "broker", extra=[f"acl_file {rules}", "max_packet_size 5000"]) as process:
        link = MqttTransport(process.url + "?protocol=5", "a")
        link.subscribe("#")
        link.connect()
        link.publish("forbidden", b"x")
        link.publish("allowed", bytes(6000))
        link.publish("allowed", b"y")
        assert link.poll() == Connected()
        complaints = []
        heard = None
        while heard is None or len(complaints) < 2:
            try:
                heard = link.poll(10) or heard
            except TransportError as error:
                complaints.append(str(error))
        assert heard == Message("allowed", b"y")
        assert any("refused a message to 'forbidden' (Not authorized)" in text for text in complaints)
        assert any("takes 5000 at most" in text for text in complaints)
        settle(link)
        link.close()


def test_subscriptions_go_out_in_packets_that_aws_accepts(proxy: MqttProxy, mosquitto: BrokerUnderTest) -> None:
    proxy.limits = AWS_IOT_CORE
    link = MqttTransport(proxy.url, "many")
    link.subscribe(*(mosquitto.topic(str(n)) for n in range(50)))
    link.connect()
    for n in range(50):
        link.publish(mosquitto.topic(str(n)), bytes([n]))
    assert sorted(m.payload[0] for m in messages(link, 50)) == list(range(50))
    assert not proxy.offences
    link.close()


# Back-pressure and limits.


def test_a_full_inbox_stops_the_reading_and_loses_nothing(mosquitto: BrokerUnderTest) -> None:
    slow = mosquitto.connect("slow", mosquitto.topic("x"), inbox_limit=10)
    fast = mosquitto.connect("fast", mosquitto.topic("x"))
    for n in range(300):
        fast.publish(mosquitto.topic("x"), n.to_bytes(2, "big"))
    messages(fast, 300)  # so the broker has sent the slow one all that it takes
    assert 10 <= slow._shared.inbox._messages <= 11
    assert [int.from_bytes(m.payload, "big") for m in messages(slow, 300)] == list(range(300))


def test_a_full_inbox_counts_bytes_too(mosquitto: BrokerUnderTest) -> None:
    slow = mosquitto.connect("slow", mosquitto.topic("x"), inbox_bytes=300_000)
    fast = mosquitto.connect("fast", mosquitto.topic("x"))
    for _ in range(30):
        fast.publish(mosquitto.topic("x"), bytes(100_000))
    messages(fast, 30)
    assert slow._shared.inbox._bytes <= 400_000
    assert len(messages(slow, 30)) == 30


def test_a_link_that_is_not_read_stays_alive_past_its_keepalive(mosquitto: BrokerUnderTest) -> None:
    with MqttProxy(mosquitto.url) as proxy:
        slow = MqttTransport(proxy.url, "unread", inbox_limit=5, keepalive=1)
        slow.subscribe(mosquitto.topic("x"))
        slow.connect()
        for n in range(200):
            slow.publish(mosquitto.topic("x"), bytes([n]))
        time.sleep(2.5)  # Mosquitto would give up after 1.5 s, paho after 2
        assert proxy.connections == 1
        heard = messages(slow, 200)
        assert [m.payload[0] for m in heard] == list(range(200))
        settle(slow)
        time.sleep(1.5)
        assert (proxy.connections, slow.poll()) == (1, None)
        slow.close()


def test_closing_an_unread_link_is_a_goodbye_all_the_same(mosquitto: BrokerUnderTest) -> None:
    topic = mosquitto.topic("x")
    watcher = mosquitto.connect("watcher", mosquitto.topic("will"))
    slow = mosquitto.connect("slow", topic, inbox_limit=3, will=Will(mosquitto.topic("will"), b"gone"))
    for _ in range(40):
        slow.publish(topic, bytes(100_000))
    slow.close(flush=5)
    assert slow.pending == 0
    marker = mosquitto.connect("marker")
    marker.publish(mosquitto.topic("will"), b"marker")
    assert messages(watcher, 1)[0].payload == b"marker"


def test_a_full_outbox_raises(proxy: MqttProxy) -> None:
    link = quick(MqttTransport(proxy.url, "full", outbox_limit=3, outbox_bytes=1000)).connect()
    proxy.refuse = True
    proxy.cut()
    next_event(link, Disconnected)
    link.publish("x", bytes(999))
    with pytest.raises(TransportError, match=r"1 messages \(999 bytes\) wait"):
        link.publish("x", bytes(2))
    link.publish("x", b"")
    link.publish("x", b"")
    with pytest.raises(TransportError, match="3 messages"):
        link.publish("x", b"")
    link.close(flush=0)


def test_a_capped_link_stays_under_the_limits_of_aws(proxy: MqttProxy, mosquitto: BrokerUnderTest) -> None:
    proxy.limits = AWS_IOT_CORE
    rate = PublishRate(AWS_IOT_CORE.publishes_per_second, AWS_IOT_CORE.bytes_per_second)
    link = MqttTransport(proxy.url, "capped", max_publish_rate=rate)
    link.subscribe(mosquitto.topic("x"))
    link.connect()
    for n in range(60):
        link.publish(mosquitto.topic("x"), bytes([n]))
    for n in range(4):
        link.publish(mosquitto.topic("x"), bytes([n]) * 120_000)
    assert [m.payload[0] for m in messages(link, 64)] == [*range(60), *range(4)]
    assert not proxy.offences
    link.close()


def test_an_uncapped_one_is_thrown_out(proxy: MqttProxy, mosquitto: BrokerUnderTest) -> None:
    proxy.limits = AWS_IOT_CORE
    link = MqttTransport(proxy.url, "uncapped").connect()
    for _ in range(150):
        link.publish(mosquitto.topic("x"), b"")
    next_event(link, Disconnected)
    assert "publishes in a second" in proxy.offences[0]
    link.close(flush=0)


# Bad networks.


def test_what_was_sent_but_not_acknowledged_is_sent_again_in_order(
    proxy: MqttProxy, mosquitto: BrokerUnderTest
) -> None:
    listener = mosquitto.connect("listener", mosquitto.topic("x"))
    link = quick(MqttTransport(proxy.url, "again")).connect()

    def cut_at_the_fifth_acknowledgement(packet: Packet) -> None:
        if packet.kind == PUBACK and packet.direction == DOWN and packet.connection == 1:
            acknowledged.append(1)
            if len(acknowledged) == 5:
                raise Cut

    acknowledged: list[int] = []
    proxy.hook = cut_at_the_fifth_acknowledgement
    for n in range(50):
        link.publish(mosquitto.topic("x"), bytes([n]))
    settle(link)
    assert next_event(link, Disconnected)
    assert next_event(link, Connected)
    link.publish(mosquitto.topic("x"), b"end")
    heard = [m.payload for m in iter(lambda: messages(listener, 1)[0], Message(mosquitto.topic("x"), b"end"))]
    firsts = list(dict.fromkeys(heard))
    assert firsts == [bytes([n]) for n in range(50)], "each at least once, in order"
    again = heard[len(heard) - 46 :]
    assert again == [bytes([n]) for n in range(4, 50)], "the unacknowledged ones again, in order"
    link.close()


def test_a_black_hole_is_noticed_and_mended(proxy: MqttProxy, mosquitto: BrokerUnderTest) -> None:
    link = quick(MqttTransport(proxy.url, "hole", keepalive=1))
    link.subscribe(mosquitto.topic("x"))
    link.connect()
    proxy.black_hole = True
    link.publish(mosquitto.topic("x"), b"into the hole")
    assert next_event(link, Disconnected).reason
    proxy.black_hole = False
    next_event(link, Connected)
    assert messages(link, 1)[0].payload == b"into the hole"
    link.close()


@pytest.mark.parametrize("seed", range(3))
def test_a_network_that_cuts_delays_doubles_and_reorders_loses_nothing(mosquitto: BrokerUnderTest, seed: int) -> None:
    rng = np.random.default_rng(seed)
    with MqttProxy(mosquitto.url, seed=seed) as proxy:
        proxy.faults = NetworkFaults(delay=0.002, duplicate=0.2, reorder=0.2)
        sender, listener = quick(MqttTransport(proxy.url, "harried")), mosquitto.connect("calm", mosquitto.topic("x"))
        sender.connect()
        for n in range(200):
            sender.publish(mosquitto.topic("x"), n.to_bytes(2, "big"))
            if rng.random() < 0.03:
                time.sleep(0.02)
                proxy.cut()
        settle(sender)
        sender.close()
        heard: set[int] = set()
        while len(heard) < 200:
            heard.add(int.from_bytes(messages(listener, 1)[0].payload, "big"))
        assert proxy.connections > 1


def test_an_enormous_message_is_not_collected(mosquitto: BrokerUnderTest) -> None:
    with MqttProxy(mosquitto.url) as proxy:
        link = quick(MqttTransport(proxy.url, "flooded"))
        link.subscribe(mosquitto.topic("x"))
        link.connect()

        def swell(packet: Packet) -> list[bytes] | None:
            if packet.kind == PUBLISH and packet.direction == DOWN and packet.connection == 1:
                return [b"\x32\xff\xff\xff\x7f\x00\x01x" + bytes(100_000)]  # 256 MiB announced
            return None

        proxy.hook = swell
        link.publish(mosquitto.topic("x"), b"1")
        assert "a message of 268435455 bytes is coming" in next_event(link, Disconnected).reason
        next_event(link, Connected)
        link.close()


def test_garbage_ends_the_link_and_a_new_one_is_made(proxy: MqttProxy, mosquitto: BrokerUnderTest) -> None:
    link = quick(MqttTransport(proxy.url, "garbled"))
    link.subscribe(mosquitto.topic("x"))
    link.connect()

    def garble(packet: Packet) -> list[bytes] | None:
        if packet.kind == PUBLISH and packet.direction == DOWN and packet.connection == 1:
            return [b"\x32\x01\xff"]  # a PUBLISH too short for its own topic
        return None

    proxy.hook = garble
    link.publish(mosquitto.topic("x"), b"1")
    next_event(link, Disconnected)
    next_event(link, Connected)
    link.close()


def test_a_silent_link_is_kept_up_by_pings(proxy: MqttProxy) -> None:
    pings = []
    proxy.hook = lambda packet: pings.append(packet.kind) if packet.kind == PINGREQ else None
    link = MqttTransport(proxy.url, "quiet", keepalive=1).connect()
    assert link.poll() == Connected()
    assert link.poll(2.5) is None
    assert pings
    link.close()


def test_the_wire_sees_one_subscribe_per_request(proxy: MqttProxy, mosquitto: BrokerUnderTest) -> None:
    subscribes = []
    proxy.hook = lambda packet: subscribes.append(packet.raw) if packet.kind == SUBSCRIBE else None
    link = MqttTransport(proxy.url, "tidy")
    link.subscribe(mosquitto.topic("a"))
    link.subscribe(mosquitto.topic("b"))
    link.connect()
    assert len(subscribes) == 1
    assert proxy.seen[UP].publishes == 0
    link.close()


@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
def test_both_versions_of_mqtt_carry_the_same(mosquitto: BrokerUnderTest, protocol: str) -> None:
    topic = mosquitto.topic("x")
    link = mosquitto.connect("v", topic, protocol=protocol, will=Will(mosquitto.topic("will"), b"gone"))
    for n in range(100):  # more than Mosquitto's receive maximum for MQTT 5
        link.publish(topic, bytes([n]) * 1000, retain=n == 99)
    assert [m.payload[0] for m in messages(link, 100)] == list(range(100))
    late = mosquitto.connect("late", topic, protocol=protocol)
    assert messages(late, 1) == [Message(topic, b"c" * 1000, retained=True)]
    link.publish(topic, b"", retain=True)
    settle(link)
