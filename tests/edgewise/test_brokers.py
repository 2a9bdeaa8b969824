"""Brokers as child processes: started, answered, stopped, killed; and the points in which amqtt was mended."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edgewise.brokers import mosquitto as mosquitto_module
from edgewise.brokers.choose import open_broker
from edgewise.brokers.embedded import EmbeddedBroker
from edgewise.brokers.mosquitto import Mosquitto
from edgewise.brokers.process import BrokerProcess, check_port, free_port
from edgewise_wire.errors import ConfigError, UnavailableError
from edgewise_wire.transport.base import Disconnected, Message
from edgewise_wire.transport.mqtt import MqttTransport
from tests.support.broker_fixtures import PATIENCE, BrokerUnderTest, make_mosquitto, messages, next_event, settle

Make = Callable[[Path], BrokerProcess]


@pytest.fixture(params=["embedded", "mosquitto"])
def process(request: pytest.FixtureRequest, tmp_path: Path) -> BrokerProcess:
    if request.param == "mosquitto":
        return make_mosquitto(tmp_path / "m")
    return EmbeddedBroker(log=tmp_path / "broker.log")


def is_gone(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        return False
    return True


# Processes.


def test_a_broker_answers_as_soon_as_start_returns_and_is_gone_after_stop(process: BrokerProcess) -> None:
    with process:
        pid = process.pid
        assert pid is not None
        assert process.url == f"mqtt://127.0.0.1:{process.port}"
        MqttTransport(process.url, "a").connect().close()
        assert process.start() is process, "a second start does nothing"
        assert process.pid == pid
    assert (process.running, process.pid) == (False, None)
    assert is_gone(pid)
    check_port("127.0.0.1", process.port)


def test_it_stops_soon_though_clients_are_there(process: BrokerProcess) -> None:
    process.start()
    link = MqttTransport(process.url, "a").connect()
    process.stop()
    next_event(link, Disconnected)
    link.close(flush=0)
    assert process.log.read_text() == "" or "rror" not in process.log.read_text()


def test_it_comes_back_on_its_port_after_a_kill(process: BrokerProcess) -> None:
    with process:
        url = process.url
        process.kill()
        assert not process.running
        process.start()
        assert process.url == url
        MqttTransport(url, "a").connect().close()


def test_a_port_in_use_is_named_with_advice(process: BrokerProcess) -> None:
    with process:
        rival = EmbeddedBroker(port=process.port)
        with pytest.raises(UnavailableError, match=f"port {process.port} on 127.0.0.1 is in use.*--port"):
            rival.start()


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(UnavailableError, match="cannot listen there"):
        EmbeddedBroker("192.0.2.1", 1883).start()


def test_the_embedded_broker_ends_with_a_killed_parent() -> None:
    code = "from edgewise.brokers.embedded import EmbeddedBroker as B; import time; b = B().start();"
    code += "print(b.pid, flush=True); time.sleep(600)"
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + PATIENCE
    while not is_gone(pid):
        assert time.monotonic() < deadline, "the broker outlived its parent"
        time.sleep(0.02)


def test_mosquitto_keeps_retained_messages_over_a_restart_if_asked(tmp_path: Path) -> None:
    with make_mosquitto(tmp_path, keep=True) as process:
        link = MqttTransport(process.url, "a").connect()
        link.publish("state", b"kept", retain=True)
        settle(link)
        link.close()
        process.stop()
        process.start()
        late = MqttTransport(process.url, "b")
        late.subscribe("state")
        late.connect()
        assert messages(late, 1) == [Message("state", b"kept", retained=True)]
        late.close()


def test_mosquittos_own_complaint_is_passed_on(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match=r"ended at once: .*nonsense"):
        make_mosquitto(tmp_path, extra=["nonsense true"]).start()


def test_a_missing_mosquitto_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(mosquitto_module.shutil, "which", lambda *_, **__: None)
    with pytest.raises(UnavailableError, match="apt install mosquitto"):
        Mosquitto(tmp_path)


def test_a_missing_amqtt_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda *_: None)
    with pytest.raises(UnavailableError, match="pip install"):
        EmbeddedBroker()


def test_open_broker_takes_an_address_or_starts_one(tmp_path: Path) -> None:
    with open_broker("mqtt://broker.example:1234", tmp_path) as url:
        assert url == "mqtt://broker.example:1234"
    with open_broker("embedded", tmp_path / "new") as url:
        MqttTransport(url, "a").connect().close()
    for wrong in ("hivemq", "http://x"):
        with pytest.raises(ConfigError), open_broker(wrong, tmp_path):
            pass


# The command.


def run_broker(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "edgewise", "broker", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("kind", ["embedded", "mosquitto"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_prints_its_url_and_ends_cleanly(tmp_path: Path, kind: str, number: int) -> None:
    if kind == "mosquitto":
        make_mosquitto(tmp_path)
    process = run_broker("--port", "0", "--broker", kind, "--dir", str(tmp_path))
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    MqttTransport(url, "a").connect().close()
    process.send_signal(number)
    out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out, err) == (0, "", "")
    check_port("127.0.0.1", int(url.rpartition(":")[2]))


def test_the_command_says_in_one_line_that_the_port_is_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        process = run_broker("--port", str(server.getsockname()[1]))
        out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out, err.count("\n")) == (2, "", 1)
    assert "is in use" in err


# amqtt, mended: what a broker must do that amqtt 0.12.1 as it comes does not, or not always.


def string(text: str) -> bytes:
    return struct.pack("!H", len(text)) + text.encode()


def raw_client(url: str, name: str, *, keepalive: int = 0, will: str = "") -> socket.socket:
    """A client that does only what it is told; it is connected when this returns."""
    host, _, port = url.partition("//")[2].rpartition(":")
    client = socket.create_connection((host, int(port)), timeout=PATIENCE)
    flags = 0x06 if will else 0x02
    body = string("MQTT") + bytes([4, flags]) + struct.pack("!H", keepalive) + string(name)
    body += string(will) + string("gone") if will else b""
    client.sendall(bytes([0x10, len(body)]) + body)
    assert client.recv(4) == b"\x20\x02\x00\x00"
    return client


@pytest.mark.parametrize("stalled_in", [b"", b"\x30\x81\x01\x00\x05half "])
def test_a_client_that_falls_silent_is_given_up_and_its_will_published(
    embedded: BrokerUnderTest, stalled_in: bytes
) -> None:
    will = embedded.topic("will")
    watcher = embedded.connect("watcher", will)
    with raw_client(embedded.url, "silent", keepalive=1, will=will) as client:
        client.sendall(stalled_in)
        assert messages(watcher, 1)[0].payload == b"gone"


def test_a_packet_over_two_mebibytes_ends_the_connection(real_broker: BrokerUnderTest) -> None:
    with raw_client(real_broker.url, "greedy") as client:
        client.sendall(b"\x30\x80\x80\xc0\x01" + string("x"))  # a PUBLISH of 3 MiB is announced
        with contextlib.suppress(ConnectionError):
            client.sendall(bytes(3 * 1024 * 1024 - 3))
        with contextlib.suppress(ConnectionError):
            assert client.recv(1) == b""


def test_what_was_acknowledged_before_a_goodbye_in_the_same_breath_is_delivered(real_broker: BrokerUnderTest) -> None:
    topic = real_broker.topic("x")
    listener = real_broker.connect("listener", topic)
    publishes = b""
    for n in range(1, 101):
        body = string(topic) + struct.pack("!H", n) + bytes([n])
        publishes += bytes([0x32, len(body)]) + body
    with raw_client(real_broker.url, "brief") as client:
        client.sendall(publishes + b"\xe0\x00")
        answer = b""
        with contextlib.suppress(ConnectionError):
            while data := client.recv(4096):
                answer += data
    acknowledged = {answer[at + 3] for at in range(0, len(answer) - 3, 4) if answer[at] == 0x40}
    assert acknowledged
    listener.publish(topic, b"end")
    heard = {m.payload[0] for m in iter(lambda: messages(listener, 1)[0], Message(topic, b"end"))}
    assert acknowledged <= heard


def test_a_client_that_reads_nothing_can_be_replaced(real_broker: BrokerUnderTest) -> None:
    topic = real_broker.topic("flood")
    sender = real_broker.connect("sender")
    with raw_client(real_broker.url, "deaf") as client:
        body = b"\x00\x01" + string(topic) + b"\x01"
        client.sendall(bytes([0x82, len(body)]) + body)
        assert client.recv(5)[0] == 0x90
        for _ in range(150):
            sender.publish(topic, bytes(130_000))
        settle(sender)
        again = raw_client(real_broker.url, "deaf")
        again.sendall(b"\xc0\x00")
        assert again.recv(2) == b"\xd0\x00"
        again.close()


def test_a_client_that_came_back_within_the_second_keeps_its_session(real_broker: BrokerUnderTest) -> None:
    topic = real_broker.topic("x")
    for _ in range(3):
        real_broker.connect("hasty", topic).close()
    hasty = real_broker.connect("hasty", topic)
    others = [real_broker.connect(f"o{n}") for n in range(10)]
    for other in others:
        other.close()
    time.sleep(1.2)  # amqtt looks for ended sessions each second
    sender = real_broker.connect("sender")
    sender.publish(topic, b"still here?")
    assert messages(hasty, 1)[0].payload == b"still here?"


def test_subscriptions_by_many_while_others_connect_break_no_link(real_broker: BrokerUnderTest) -> None:
    sender = real_broker.connect("sender")
    for n in range(50):
        sender.publish(real_broker.topic(f"kept/{n}"), b"1", retain=True)
    settle(sender)
    failures = []

    def come(number: int) -> None:
        try:
            link = real_broker.connect(f"c{number}", *(real_broker.topic(f"kept/{n}") for n in range(number, 50, 5)))
            assert len(messages(link, len(range(number, 50, 5)))) == len(range(number, 50, 5))
            assert not isinstance(link.poll(), Disconnected)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=come, args=(n,)) for n in range(15)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_free_ports_are_free() -> None:
    port = free_port()
    check_port("127.0.0.1", port)
    with socket.create_server(("127.0.0.1", port)), pytest.raises(UnavailableError, match="in use"):
        check_port("127.0.0.1", port)
