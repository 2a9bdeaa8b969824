"""The device's folder after a power cut at any moment of a round, as real system calls left it: nothing is lost, and
nothing is said in two ways.

A real agent takes part in a real round under strace; every disk that a cut could have left (see `power_cut`) is handed
to a new agent, and the coordinator sends the same assignment again. Every tenth of them is tried, with
`EDGEWISE_POWER_CUTS=all` each (three minutes).
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from edgewise.brokers.process import BrokerProcess
from edgewise_edge.agent import Agent
from edgewise_edge.home import Home
from edgewise_edge.host import DeviceHost
from edgewise_edge.link import Identity
from edgewise_edge.participation import Outcome, ParticipationLog
from edgewise_edge.session import SessionFolder
from edgewise_edge.store import ExampleStore
from edgewise_wire import topics
from edgewise_wire.blobs import BlobStore, chunk, chunk_count, make_ref
from edgewise_wire.clock import ManualClock
from edgewise_wire.codec import decode, encode
from edgewise_wire.errors import ProtocolError
from edgewise_wire.messages import Assignment, BlobChunk, Envelope, UploadRequest
from edgewise_wire.transport.base import Message
from edgewise_wire.transport.memory import MemoryBroker
from power_cut import Event, Recording, all_of_it, any_of_it, nothing_more, strace
from process_fleet import FLEET, ProcessFleet
from tests.support.broker_fixtures import make_mosquitto

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed (apt: strace)"),
]
TEXTS = [f"see you at {word}" for word in ("me", "it", "us", "up", "so", "go", "we", "be", "do", "he")]
DEVICE = "pi-0"


class Round:
    """What was recorded of one device's round, and what came of it."""

    def __init__(self, folder: Path, model: Path) -> None:
        self.home = Home(folder / DEVICE)
        with ExampleStore(self.home.examples) as store:
            store.add_many(TEXTS)
        self.recording = Recording(self.home.path).begin()
        log = folder / "strace.log"
        with make_mosquitto(folder / "broker") as broker:
            fleet = ProcessFleet(folder, model, broker)
            try:
                fleet.devices[DEVICE] = device(broker, self.home.path, log)
                fleet.start_coordinator("--rounds", "1", "--cohort", "1", "--evaluate-every", "0", "--epochs", "2")
                fleet.finish()
                time.sleep(1.0)  # the device hears that it counted
                self.envelope = next(
                    envelope for envelope in decoded(fleet.payloads) if isinstance(envelope.body, Assignment)
                )
            finally:
                for child in children(fleet.devices[DEVICE].pid):
                    child_ended(child)
                fleet.stop()
        self.recording.read(log)
        [entry] = ParticipationLog(self.home.participation).entries()
        assert entry.outcome is Outcome.REPORTED
        [self.request] = {body for _, body in said(self.recording.events)}
        blobs = BlobStore(self.home.blobs)
        asked = self.envelope.body
        self.blobs = [blobs.read(ref.hash) for ref in (asked.graph, asked.weights)]


def device(broker: BrokerProcess, home: Path, log: Path) -> subprocess.Popen[str]:
    run = [sys.executable, "-m", "edgewise", "device", "run", "--broker", broker.url, "--fleet", FLEET]
    run += ["--device", DEVICE, "--home", str(home), "--no-conditions", "--quiet"]
    return subprocess.Popen([*strace(log), *run], text=True)


def children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def child_ended(pid: int) -> None:
    """End the agent under strace, which passes on no signals of its own."""
    os.kill(pid, signal.SIGTERM)
    until = time.monotonic() + 15
    while Path(f"/proc/{pid}").exists() and time.monotonic() < until:
        time.sleep(0.05)


def decoded(messages: list[Message]) -> Iterator[Envelope]:
    for message in messages:
        try:
            yield decode(message.payload)
        except ProtocolError:
            continue


def said(events: list[Event]) -> Iterator[tuple[int, UploadRequest]]:
    """Yield what a device asked to upload, and before which event that was said."""
    for at, event in enumerate(events):
        if event.kind == "said":
            for payload in published(event.data):
                try:
                    body = decode(payload).body
                except ProtocolError:
                    continue
                if isinstance(body, UploadRequest):
                    yield at, body


def published(data: bytes) -> Iterator[bytes]:
    """Yield the payloads of the whole MQTT PUBLISH packets in what one call sent."""
    at = 0
    while at + 2 <= len(data):
        length, shift, start = 0, 0, at + 1
        while start < len(data):
            length |= (data[start] & 0x7F) << shift
            shift, start = shift + 7, start + 1
            if not data[start - 1] & 0x80:
                break
        if data[at] >> 4 == 3:
            topic = int.from_bytes(data[start : start + 2], "big")
            yield data[start + 2 + topic + (2 if data[at] & 6 else 0) : start + length]
        at = start + length


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Round:
    model = Path(__file__).parents[2] / "build" / "fixtures" / "tiny.tflite"
    return Round(tmp_path_factory.mktemp("power"), model)


def test_what_a_device_says_was_safe_on_disk_before(recorded: Round) -> None:
    """Of the disk that is left when nothing more gets out, the report that was said is the one that will be said."""
    moments = [at for at, _ in said(recorded.recording.events)]
    assert moments
    for at in moments:
        folder = recorded.recording.leave(at, nothing_more, recorded.home.path.parent / "left")
        found = SessionFolder(Home(folder).session, FLEET).load()
        assert found is not None
        assert found[1] == recorded.request


KEEPS = {"synced": nothing_more, "all": all_of_it, "any 1": any_of_it(1), "any 2": any_of_it(2)}
EVERY = 1 if os.environ.get("EDGEWISE_POWER_CUTS") == "all" else 10


@pytest.mark.parametrize("keeps", KEEPS.values(), ids=KEEPS)
def test_after_a_cut_at_any_moment_the_round_ends_in_one_report(recorded: Round, keeps) -> None:
    events, seen = recorded.recording.events, set()
    outcomes = {"reported before": 0, "the report on disk": 0, "trained": 0}
    for at in recorded.recording.moments():
        folder = recorded.recording.leave(at, keeps, recorded.home.path.parent / "left")
        state = frozenset((str(p.relative_to(folder)), p.read_bytes()) for p in folder.rglob("*") if p.is_file())
        was_said = any(when < at for when, _ in said(events))
        if (state, was_said) in seen:
            continue
        seen.add((state, was_said))
        if len(seen) % EVERY:
            continue
        outcome = resumed(Home(folder), recorded, f"a cut after {at} of {len(events)} events")
        outcomes[outcome] += 1
        assert not (was_said and outcome == "trained"), f"after {at} events: trained what had been reported"
    assert EVERY > 1 or all(outcomes.values()), outcomes
    print(f"{sum(outcomes.values())} of {len(seen)} different disks tried: {outcomes}")


def resumed(home: Home, recorded: Round, moment: str) -> str:
    """Start an agent on what a cut left, send it the same assignment, and see what it says."""
    broker = MemoryBroker()
    coordinator = broker.connect("coordinator")
    coordinator.subscribe(topics.all_devices(FLEET, "up"))
    for data in recorded.blobs:
        ref = make_ref(data)
        for n in range(chunk_count(ref)):
            message = encode(Envelope(FLEET, 0, 0, BlobChunk(ref.hash, n, chunk(data, ref, n))))
            coordinator.publish(topics.blob_chunk(FLEET, ref.hash, n), message, retain=True)
    with ExampleStore(home.examples) as store:
        assert store.texts() == TEXTS, moment
        host = DeviceHost(home, store)
        identity = Identity(FLEET, DEVICE, 7)
        clock = ManualClock(1000.0, time.time())
        agent = Agent(home, broker.connect(DEVICE, will=identity.will), identity, host, clock=clock)
        try:
            asked = replace(recorded.envelope, body=recorded.envelope.body)
            coordinator.publish(topics.device_down(FLEET, DEVICE), encode(asked))
            return watched(agent, coordinator, host, recorded, moment)
        finally:
            agent.close()


def watched(agent: Agent, coordinator, host: DeviceHost, recorded: Round, moment: str) -> str:
    for _ in range(400):
        agent.step(0.0)
        while (event := coordinator.poll()) is not None:
            if isinstance(event, Message) and isinstance(body := decode(event.payload).body, UploadRequest):
                assert body.update == recorded.request.update, f"{moment}: another update"
                return "the report on disk" if host._loaded is None else "trained"
        if agent._worker.work is None and agent._records.entries():
            [entry] = agent._records.entries()
            assert entry.outcome is Outcome.REPORTED, f"{moment}: {entry}"
            return "reported before"
    raise AssertionError(f"{moment}: the device says nothing")
