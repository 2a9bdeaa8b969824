"""Brokers for tests: one fixture, `broker`, that is the in-memory, the embedded and the Mosquitto broker in turn."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from edgewise.brokers.embedded import EmbeddedBroker
from edgewise.brokers.mosquitto import Mosquitto
from edgewise.brokers.process import BrokerProcess
from edgewise_wire.errors import UnavailableError
from edgewise_wire.transport.base import Event, Message, Transport
from edgewise_wire.transport.memory import MemoryBroker
from edgewise_wire.transport.mqtt import MqttTransport

T = TypeVar("T")
EXTERNAL = os.environ.get("EDGEWISE_TEST_BROKER", "")  # one more broker to test, by its url: scripts/test-rabbitmq
PATIENCE = 30.0  # seconds; a test waits no longer than it must, and fails after this


class BrokerUnderTest:
    """One broker with its links; `topic` gives names of this test alone, because processes are shared by tests."""

    _numbers = itertools.count()

    def __init__(self, kind: str, process: BrokerProcess | None) -> None:
        self.kind = kind
        self.process = process
        self.memory = MemoryBroker() if kind == "memory" else None
        self._number = next(self._numbers)
        self._links: list[Transport] = []

    @property
    def url(self) -> str:
        return EXTERNAL if self.process is None else self.process.url

    def topic(self, name: str) -> str:
        return f"test/{self._number}/{name}"

    def connect(self, name: str, *filters: str, **options: Any) -> Any:
        """Return a link that is up and subscribed; it is closed when the test ends."""
        link: Transport
        name = f"t{self._number}-{name}"
        if self.memory is not None:
            link = self.memory.connect(name, will=options.get("will"))
            link.subscribe(*filters)
        else:
            link = MqttTransport(self.url, name, **options)
            link.subscribe(*filters)
            link.connect()
        self._links.append(link)
        return link

    def crash(self) -> None:
        """Kill the broker."""
        if self.memory is not None:
            self.memory.stop()
        elif self.process is not None:
            self.process.kill()
        else:
            pytest.skip("a broker that the tests did not start is not theirs to kill")

    def come_back(self) -> None:
        """Start it again, on the same port; it has forgotten what it kept."""
        if self.memory is not None:
            self.memory.start(keep_retained=False)
        else:
            assert self.process is not None
            self.process.start()

    def close(self) -> None:
        for link in self._links:
            link.close(flush=0)


def next_event(link: Transport, kind: type[T]) -> T:
    """Return the next event of this kind and pass over the others."""
    deadline = time.monotonic() + PATIENCE
    while (left := deadline - time.monotonic()) > 0:
        event: Event | None = link.poll(left)
        if isinstance(event, kind):
            return event
    raise AssertionError(f"no {kind.__name__} within {PATIENCE:g} s")


def messages(link: Transport, count: int) -> list[Message]:
    """Return the next `count` messages."""
    return [next_event(link, Message) for _ in range(count)]


def settle(link: Transport) -> None:
    """Wait until the broker has acknowledged all that the link published."""
    deadline = time.monotonic() + PATIENCE
    while link.pending:
        assert time.monotonic() < deadline, f"{link.pending} messages unacknowledged after {PATIENCE:g} s"
        time.sleep(0.005)


def make_mosquitto(directory: Path, **options: Any) -> Mosquitto:
    """Return a Mosquitto, or skip the test where it is not installed; in CI it has to be."""
    try:
        return Mosquitto(directory, **options)
    except UnavailableError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def embedded_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedBroker]:
    """The embedded broker, shared by the session; a device's environment has no amqtt, the others must."""
    pytest.importorskip("amqtt")
    with EmbeddedBroker(log=tmp_path_factory.mktemp("embedded") / "broker.log") as process:
        yield process


@pytest.fixture(scope="session")
def mosquitto_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    """Mosquitto with its default limits, shared by the session."""
    with make_mosquitto(tmp_path_factory.mktemp("mosquitto")) as process:
        yield process


def _under_test(kind: str, request: pytest.FixtureRequest) -> Iterator[BrokerUnderTest]:
    process = None
    if kind in ("embedded", "mosquitto"):
        process = request.getfixturevalue(f"{kind}_process").start()
    under_test = BrokerUnderTest(kind, process)
    yield under_test
    under_test.close()


@pytest.fixture(params=["memory", "embedded", "mosquitto", *(["external"] if EXTERNAL else [])])
def broker(request: pytest.FixtureRequest) -> Iterator[BrokerUnderTest]:
    """Each broker in turn."""
    yield from _under_test(request.param, request)


@pytest.fixture(params=["embedded", "mosquitto"])
def real_broker(request: pytest.FixtureRequest) -> Iterator[BrokerUnderTest]:
    """Each broker with real sockets in turn."""
    yield from _under_test(request.param, request)


@pytest.fixture
def embedded(request: pytest.FixtureRequest) -> Iterator[BrokerUnderTest]:
    """The embedded broker alone."""
    yield from _under_test("embedded", request)


@pytest.fixture
def mosquitto(request: pytest.FixtureRequest) -> Iterator[BrokerUnderTest]:
    """Mosquitto alone, where one real broker is proof enough."""
    yield from _under_test("mosquitto", request)
