"""A fleet's own broker, with the configuration that `edgewise fleet init` writes: who does not belong stays outside.

Every refusal is looked for where the operator looks: the broker's log of refusals, or the coordinator's counts.
"""

from __future__ import annotations

import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from edgewise.brokers.process import free_port
from edgewise_coordinator.broker_log import RefusalCounts
from edgewise_coordinator.eviction import evict, reload_broker
from edgewise_coordinator.link import Link
from edgewise_coordinator.members import Enrolled
from edgewise_coordinator.refusals import NOT_A_MEMBER
from edgewise_edge.agent import Agent
from edgewise_edge.home import Home
from edgewise_edge.host import DeviceHost
from edgewise_edge.link import Identity
from edgewise_edge.store import ExampleStore
from edgewise_wire import topics
from edgewise_wire.bundle import Bundle
from edgewise_wire.clock import SystemClock
from edgewise_wire.codec import decode, encode
from edgewise_wire.errors import ConfigError, TransportError, UnavailableError
from edgewise_wire.messages import Accept, Assignment, BlobRef, CheckIn, Decline, Envelope
from edgewise_wire.transport.base import Disconnected, Message
from edgewise_wire.transport.mqtt import MqttTransport
from tests.support.broker_fixtures import PATIENCE, next_event, settle

pytest.importorskip("cryptography")
from edgewise.brokers.fleet_broker import FleetBroker
from edgewise_coordinator.fleet_directory import FleetDirectory

pytestmark = pytest.mark.integration

DAY = 86400.0


@dataclass
class Secured:
    """A fleet's directory, its broker, and links that tests open."""

    folder: Path
    fleet: FleetDirectory
    broker: FleetBroker
    links: list[MqttTransport] = field(default_factory=list)
    numbers: int = 0

    def enroll(self, device: str, fleet: FleetDirectory | None = None, *, now: float | None = None) -> Bundle:
        bundle = (fleet or self.fleet).enroll(device, days=1, now=time.time() if now is None else now)
        return replace(bundle, broker=self.broker.url)

    def link(self, bundle: Bundle, name: str = "", **options: Any) -> MqttTransport:
        """Return a link with a bundle's papers, not yet connected."""
        self.numbers += 1
        tls = bundle.unpack(self.folder / f"papers{self.numbers}")
        return self.keep(MqttTransport(bundle.broker, name or bundle.device, ca=tls.ca, cert=tls.cert, key=tls.key))

    def coordinator(self, *filters: str) -> MqttTransport:
        """Return the coordinator's link, subscribed; there is one session for its name, so the last one is closed."""
        for link in self.links:
            if link.client_id == "coordinator":
                link.close(flush=0)
        tls = self.fleet.coordinator_tls
        link = self.keep(MqttTransport(self.broker.url, "coordinator", ca=tls.ca, cert=tls.cert, key=tls.key))
        link.subscribe(*filters)
        return link.connect()

    def keep(self, link: MqttTransport) -> MqttTransport:
        self.links.append(link)
        return link

    def refused(self, kind: str, about: str = "") -> bool:
        """Whether the operator's log tells of such a refusal; it may take the broker a moment."""
        return eventually(lambda: any(kind in line and about in line for line in self.log()))

    def log(self) -> list[str]:
        return self.fleet.refusals.read_text().splitlines() if self.fleet.refusals.exists() else []


def eventually(holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if holds():
            return True
        time.sleep(0.02)
    return False


def make_fleet(folder: Path, name: str = "home") -> FleetDirectory:
    return FleetDirectory.create(
        folder, name, host="127.0.0.1", port=free_port(), bind="127.0.0.1", user="root", now=time.time()
    )


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    folder = tmp_path_factory.mktemp("secured")
    fleet = make_fleet(folder / "fleet")
    try:
        broker = FleetBroker(fleet)
    except UnavailableError as error:
        pytest.skip(str(error))
    with broker:
        made = Secured(folder, fleet, broker)
        yield made
        for link in made.links:
            link.close(flush=0)


def test_every_private_key_is_its_owners_alone(secured: Secured) -> None:
    secured.enroll("pi-0").save(secured.folder / "pi-0.bundle")
    files = [p for p in [secured.folder / "pi-0.bundle", *secured.fleet.path.rglob("*")] if p.is_file()]
    private = [p for p in files if b"PRIVATE KEY" in p.read_bytes()]
    assert {p.name for p in private} == {"ca.key", "key.pem", "signing.key", "broker.key", "pi-0.bundle"}
    assert {stat.S_IMODE(p.stat().st_mode) for p in private} == {0o600}
    assert stat.S_IMODE(secured.fleet.path.stat().st_mode) == 0o700
    assert Bundle.load(secured.folder / "pi-0.bundle").device == "pi-0"


def test_an_enrolled_device_and_the_coordinator_hear_each_other(secured: Secured) -> None:
    coordinator, device = secured.coordinator(topics.all_devices("home", "up")), secured.link(secured.enroll("pi-1"))
    device.subscribe(topics.device_down("home", "pi-1"), topics.blob_chunk("home", b"h" * 32, 0))
    device.connect()
    coordinator.publish(topics.blob_chunk("home", b"h" * 32, 0), b"chunk", retain=True)
    coordinator.publish(topics.device_down("home", "pi-1"), b"down")
    device.publish(topics.device_up("home", "pi-1"), b"up")
    assert next_event(coordinator, Message).payload == b"up"
    assert {next_event(device, Message).payload, next_event(device, Message).payload} == {b"chunk", b"down"}


def test_no_certificate_no_connection(secured: Secured) -> None:
    with pytest.raises(TransportError):
        MqttTransport(secured.broker.url, "stranger", ca=secured.fleet.coordinator_tls.ca).connect()
    assert secured.refused("no certificate")


def test_a_certificate_of_another_authority_is_refused(secured: Secured) -> None:
    theirs = make_fleet(secured.folder / "theirs").enroll("pi-1", days=1, now=time.time())
    own_ca = (secured.fleet.path / "authority/ca.pem").read_text()
    before = len(secured.log())
    with pytest.raises(TransportError):
        secured.link(replace(theirs, broker=secured.broker.url, ca=own_ca)).connect()
    assert eventually(lambda: any("certificate not accepted" in line for line in secured.log()[before:]))


def test_an_expired_certificate_is_refused(secured: Secured) -> None:
    before = len(secured.log())
    with pytest.raises(TransportError):
        secured.link(secured.enroll("pi-old", now=time.time() - 3 * DAY)).connect()
    assert eventually(lambda: any("certificate not accepted" in line for line in secured.log()[before:]))
    assert [e.status(time.time()) for e in secured.fleet.enrolments() if e.device == "pi-old"] == ["expired"]


def test_a_device_whose_clock_lags_by_hours_may_still_come(secured: Secured) -> None:
    secured.link(secured.enroll("pi-early", now=time.time() + 20 * 3600)).connect()


def test_a_brokers_certificate_does_not_make_a_client(secured: Secured) -> None:
    folder = secured.fleet.path / "broker"
    with pytest.raises(TransportError):
        MqttTransport(
            secured.broker.url, "x", ca=folder / "ca.pem", cert=folder / "broker.pem", key=folder / "broker.key"
        ).connect()


def test_a_broker_of_another_authority_is_not_trusted_by_a_device(secured: Secured) -> None:
    theirs = make_fleet(secured.folder / "false-broker").enroll("pi-1", days=1, now=time.time())
    with pytest.raises(TransportError, match="not trusted"):
        secured.link(replace(theirs, broker=secured.broker.url)).connect()


def test_a_device_that_speaks_as_another_is_not_heard(secured: Secured) -> None:
    coordinator, device = secured.coordinator("ew/#"), secured.link(secured.enroll("pi-mime")).connect()
    for topic in (
        topics.device_up("home", "pi-1"),
        topics.device_state("home", "pi-1"),
        topics.device_down("home", "pi-mime"),
        topics.device_down("home", "pi-1"),
        topics.blob_chunk("home", b"h" * 32, 1),
        topics.device_up("work", "pi-mime"),
    ):
        device.publish(topic, b"forged")
        assert secured.refused("published on another's topic", f"pi-mime on {topic}")
    device.publish(topics.device_up("home", "pi-mime"), b"honest")
    assert next_event_under(coordinator, "device/").payload == b"honest"


def next_event_under(link: MqttTransport, words: str) -> Message:
    while True:
        message = next_event(link, Message)
        if words in message.topic and not message.retained:
            return message


def test_a_device_that_listens_to_another_hears_nothing(secured: Secured) -> None:
    coordinator, spy = secured.coordinator(), secured.link(secured.enroll("pi-spy"))
    others = [topics.device_down("home", "pi-1"), topics.device_up("home", "pi-1"), "ew/#", "#"]
    spy.subscribe(topics.device_down("home", "pi-spy"), *others)
    spy.connect()
    for wanted in others:
        assert secured.refused("asked for another's topic", f"pi-spy for {wanted};")
    coordinator.publish(topics.device_down("home", "pi-1"), b"for pi-1 alone")
    coordinator.publish(topics.device_down("home", "pi-spy"), b"for the spy")
    assert next_event_under(spy, "device/").payload == b"for the spy"


def test_an_aggregator_hears_the_updates_sent_to_it_and_nothing_else(secured: Secured) -> None:
    device = secured.link(secured.enroll("pi-9")).connect()
    device.publish(topics.device_up_to("home", "pi-9", "a0"), b"too early")
    assert secured.refused("published on another's topic", "pi-9 on ew/1/home/device/pi-9/up/a0")
    secured.fleet.set_aggregators(2, now=time.time())
    reload_broker(secured.fleet)
    ears = {}
    for name in ("a0", "a1"):
        tls = secured.fleet.aggregator_tls(name)
        link = secured.keep(MqttTransport(secured.broker.url, name, ca=tls.ca, cert=tls.cert, key=tls.key))
        link.subscribe(topics.all_devices("home", f"up/{name}"))
        ears[name] = link
    ears["a1"].subscribe(topics.all_devices("home", "up/a0"), topics.all_devices("home", "up"))
    for link in ears.values():
        link.connect()
    assert secured.refused("asked for another's topic", "_aggregator-a1 for ew/1/home/device/+/up/a0")
    assert not any("_aggregator-a0 for" in line for line in secured.log())
    device.subscribe(topics.device_down("home", "pi-9"))
    device.publish(topics.device_up("home", "pi-9"), b"not for them")
    device.publish(topics.device_up_to("home", "pi-9", "a0"), b"for a0")
    device.publish(topics.device_up_to("home", "pi-9", "a1"), b"for a1")
    for name, link in ears.items():
        assert next_event_under(link, "device/").payload == f"for {name}".encode()
    ears["a0"].publish(topics.device_down("home", "pi-9"), b"granted")
    assert next_event_under(device, "device/").payload == b"granted"
    ears["a0"].publish(topics.blob_chunk("home", b"h" * 32, 7), b"forged")
    assert secured.refused("published on another's topic", "_aggregator-a0 on ew/1/home/blob")


def test_a_client_id_is_the_certificates_name(secured: Secured) -> None:
    honest = secured.link(secured.enroll("pi-2")).connect()
    secured.link(secured.enroll("pi-3"), name="pi-2").connect()
    settle(honest)
    assert not any("session taken over: pi-2" in line for line in secured.log())


def test_a_revoked_device_loses_its_live_session_and_cannot_come_back(secured: Secured) -> None:
    bundle, again = secured.enroll("pi-bad"), secured.enroll("pi-bad")
    coordinator = secured.coordinator(topics.all_devices("home", "up"))
    ear = Link("home", coordinator, members=Enrolled(secured.fleet.index, SystemClock()))
    live = secured.link(bundle).connect()
    said = encode(Envelope("home", 0, 1, CheckIn(session=1)))
    live.publish(topics.device_up("home", "pi-bad"), said)
    assert ear.read(next_event_under(coordinator, "pi-bad/up")) is not None

    assert secured.fleet.revoke("pi-bad", now=time.time()) == 2
    reload_broker(secured.fleet)
    # The list alone does not end the session: what it says still passes the broker, and the coordinator refuses it.
    time.sleep(1.1)  # the coordinator looks at the index once a second
    live.publish(topics.device_up("home", "pi-bad"), said)
    assert ear.read(next_event_under(coordinator, "pi-bad/up")) is None
    assert ear.refused[NOT_A_MEMBER] == 1

    before = len(secured.log())
    evict(replace_broker(secured), "pi-bad", now=time.time())
    next_event(live, Disconnected)
    assert secured.refused("session taken over", "pi-bad")
    assert eventually(lambda: any("certificate not accepted" in line for line in secured.log()[before:]))
    live.close(flush=0)
    for papers in (bundle, again):
        with pytest.raises(TransportError):
            secured.link(papers).connect()
    assert {e.status(time.time()) for e in secured.fleet.enrolments() if e.device == "pi-bad"} == {"revoked"}
    assert Enrolled(secured.fleet.index, SystemClock()).leavers() == ["pi-bad"]


def replace_broker(secured: Secured) -> FleetDirectory:
    return FleetDirectory(secured.fleet.path)


def test_others_stay_when_one_is_revoked_and_a_second_revocation_holds_too(secured: Secured) -> None:
    stays, first, second = (secured.link(secured.enroll(f"pi-r{n}")).connect() for n in range(3))
    for name, link in (("pi-r1", first), ("pi-r2", second)):
        secured.fleet.revoke(name, now=time.time())
        reload_broker(secured.fleet)
        evict(secured.fleet, name, now=time.time())
        next_event(link, Disconnected)
        link.close(flush=0)
    coordinator = secured.coordinator(topics.all_devices("home", "up"))
    stays.publish(topics.device_up("home", "pi-r0"), b"still here")
    assert next_event_under(coordinator, "pi-r0").payload == b"still here"


def test_one_who_was_never_enrolled_cannot_be_revoked(secured: Secured) -> None:
    with pytest.raises(ConfigError, match="not enrolled"):
        secured.fleet.revoke("nobody", now=time.time())


def test_a_forged_assignment_is_refused_told_and_does_not_stop_an_honest_one(secured: Secured, tmp_path: Path) -> None:
    from edgewise_wire.crypto.signing import SigningKey, VerifyKey

    bundle = secured.enroll("pi-9")
    coordinator = secured.coordinator(topics.all_devices("home", "up"))
    ear = Link("home", coordinator, members=Enrolled(secured.fleet.index, SystemClock()))
    home = Home(tmp_path / "home")
    with ExampleStore(home.examples) as store:
        store.add_many(["see you at seven"] * 10)
        link = secured.link(bundle)
        vouches = VerifyKey.from_text(bundle.coordinator_key).vouches_for
        agent = Agent(home, link.connect(), Identity("home", "pi-9", 1), DeviceHost(home, store), vouches=vouches)
        said = converse(agent, coordinator, ear, CheckIn)
        # Whoever has the broker, or stole the coordinator's certificate, has not the signing key.
        ref = BlobRef(b"h" * 32, 10, 10, b"c" * 32)
        asked = Envelope("home", 5, 17, Assignment(1, graph=ref, weights=ref, learning_rate=0.1, deadline=60.0))
        coordinator.publish(topics.device_down("home", "pi-9"), SigningKey.generate().seal("pi-9", asked))
        said = converse(agent, coordinator, ear, Decline)
        assert (said.round, "did not sign" in said.body.reason) == (0, True)
        assert agent.link.dropped["forged"] == 1
        coordinator.publish(topics.device_down("home", "pi-9"), secured.fleet.signing_key().seal("pi-9", asked))
        assert converse(agent, coordinator, ear, Accept).round == 5
        agent.close()


def converse(agent: Agent, coordinator: MqttTransport, ear: Link, kind: type) -> Any:
    """Let the device act until it says a body of this kind, and return the message."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        agent.step(0.01)
        event = coordinator.poll(0.01)
        if isinstance(event, Message):
            found = ear.read(event)
            if found is not None and isinstance(found[1].body, kind):
                return decode(event.payload)
    raise AssertionError(f"the device never said {kind.__name__}")


def test_the_operator_counts_refusals_by_kind(secured: Secured) -> None:
    counts = RefusalCounts(secured.fleet.refusals)
    first = dict(counts.read())
    assert first["no certificate"] >= 1
    assert first["published on another's topic"] >= 6
    with pytest.raises(TransportError):
        MqttTransport(secured.broker.url, "stranger", ca=secured.fleet.coordinator_tls.ca).connect()
    assert eventually(lambda: counts.read()["no certificate"] > first["no certificate"])
