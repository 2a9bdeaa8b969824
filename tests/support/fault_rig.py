"""Disturbs a run of real parts — a coordinator process, a broker, links — and counts what was lost.

The far end is three scripted devices over the broker: their updates are functions of their name and the round's
weights, so a disturbed run has to end in the same bits as an undisturbed one.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import numpy as np

from coordinator_scene import device_update
from edgewise_coordinator.faults import VARIABLE, FaultPoint
from edgewise_coordinator.state import StateStore
from edgewise_wire.codec import decode
from edgewise_wire.messages import Envelope, Kind, Presence, ReportAck
from edgewise_wire.transport.base import Connected, Message
from edgewise_wire.transport.mqtt import MqttTransport
from scripted_device import ScriptedDevice, Train, will

DEVICES = ("d1", "d2", "d3")
ROUNDS = 2
PATIENCE = 90.0
REPEAT_SECONDS = 2.0  # a real device waits 10
SCRIPT = Path(__file__).with_name("fault_coordinator.py")
SAID = 0.15  # seconds that what was handed to the transport has to leave before the kill

KILLS: tuple[tuple[FaultPoint, int, float], ...] = (
    (FaultPoint.ROUND_RECORDED, 1, 0),
    (FaultPoint.BLOB_PUBLISHED, 2, 0),
    (FaultPoint.BEFORE_SELECTION, 1, 0),
    (FaultPoint.AFTER_SELECTION, 2, 0),
    (FaultPoint.BEFORE_ASSIGNMENT, 2, 0),
    (FaultPoint.AFTER_ASSIGNMENT, 2, 0),
    (FaultPoint.AFTER_ASSIGNMENT, 5, SAID),
    (FaultPoint.AFTER_GRANT, 2, SAID),
    (FaultPoint.BEFORE_SPOOL_WRITE, 3, 0),
    (FaultPoint.AFTER_SPOOL_WRITE, 1, 0),
    (FaultPoint.AFTER_SPOOL_WRITE, 7, 0),
    (FaultPoint.BEFORE_SPOOL_SYNC, 2, 0),
    (FaultPoint.AFTER_SPOOL_SYNC, 2, 0),
    (FaultPoint.AFTER_REPORT_ROW, 2, 0),
    (FaultPoint.AFTER_REPORT_ROW, 5, 0),
    (FaultPoint.AFTER_FOLD, 2, 0),
    (FaultPoint.AFTER_ACKNOWLEDGEMENT, 5, 0),
    (FaultPoint.AFTER_ACKNOWLEDGEMENT, 5, SAID),
    (FaultPoint.BEFORE_CLOSING, 2, SAID),
    (FaultPoint.BEFORE_AGGREGATE, 2, SAID),
    (FaultPoint.AFTER_AGGREGATE, 2, 0),
    (FaultPoint.AFTER_STATE_FILE, 3, 0),
    (FaultPoint.AFTER_VERSION_FILES, 1, 0),
    (FaultPoint.AFTER_COMMIT, 2, 0),
    (FaultPoint.BEFORE_PUBLISH, 2, 0),
)
"""(point, which passing of it, seconds before the kill): the rounds alternate between evaluation and training."""


@dataclass
class RigDevice(ScriptedDevice):
    """Says its last word again when it has heard nothing, as real devices do; remembers what was acknowledged."""

    acknowledged: set[int] = field(default_factory=set)
    refusals: list[str] = field(default_factory=list)
    _spoke: float = field(default_factory=time.monotonic)

    def step(self) -> bool:
        any_event = False
        while (event := self.transport.poll(0.0)) is not None:
            any_event = True
            if isinstance(event, Connected):
                self._reconnected()
            elif isinstance(event, Message) and event.payload:
                self._handle(decode(event.payload))
        return any_event

    def _reconnected(self) -> None:
        self.say(Presence(online=True, session=7), channel="state")
        self._come_back()

    def _handle(self, envelope: Envelope) -> None:
        if isinstance(envelope.body, ReportAck):
            if envelope.body.accepted:
                self.acknowledged.add(envelope.round)
            else:
                self.refusals.append(envelope.body.reason)
        self._spoke = time.monotonic()
        super()._handle(envelope)

    def nudge(self) -> None:
        if time.monotonic() - self._spoke < REPEAT_SECONDS:
            return
        self._spoke = time.monotonic()
        if self.assignment is None:
            self.check_in()
        elif missing := self._missing():
            self.check_in(resume_round=self.round_id, resume_attempt=self.assignment.attempt)
            self.ask_for_blob(min(missing), max(missing))
        elif self.assignment.kind == Kind.EVALUATE:
            self._work(self.assignment)
        else:
            self.request()

    def _missing(self) -> set[int]:
        assert self.assignment is not None
        ref = self.assignment.weights
        return set(range(-(-ref.size // ref.chunk_bytes))) - set(self.weights)


@dataclass(frozen=True)
class Outcome:
    """What one run came to. `lost` counts reports that were acknowledged and are not held, when the coordinator is dead
    and at the end; `doubled` those that a version holds twice."""

    name: str
    committed: int
    acknowledged: int
    lost: int
    doubled: int
    refused: int
    weights: str
    state: str
    seconds: float
    log: str = field(repr=False, default="")

    def same_bits(self, other: Outcome) -> bool:
        return (self.weights, self.state) == (other.weights, other.state)


Disturb: TypeAlias = "Callable[[list[RigDevice]], None]"
"""Called again and again while the run goes on; it does its harm when it sees fit."""


class Rig:
    """A broker's url and a folder; `run` takes one fleet through its rounds. Runs may go on side by side."""

    def __init__(
        self,
        url: str,
        folder: Path,
        *,
        keepalive: int = 30,
        algorithm: str = "fedadam",
        connections: int = 1,
        engine: str = "process",
        aggregators: int = 0,
        silent_after_kill: bool = False,
    ) -> None:
        self.silent_after_kill = silent_after_kill  # then a device speaks only when it is spoken to
        self._silent = False
        self.engine, self.aggregators = engine, aggregators
        self.environment: dict[str, str] = {}
        self.connections = connections
        self.algorithm = algorithm
        self.url = url
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.keepalive = keepalive
        self._numbers = itertools.count(1)

    def kill(self, point: FaultPoint, count: int = 1, seconds: float = 0.0) -> Outcome:
        """Run the rounds with one kill of the coordinator, at the point's `count`-th passing."""
        said = ", said" if seconds else ""
        control = ", SCAFFOLD" if self.algorithm == "scaffold" else ""
        return self.run(f"SIGKILL {point.value} ({count}{said}{control})", fault=f"{point.value}:{count}:{seconds}")

    def run(self, name: str = "undisturbed", *, fault: str = "", disturb: Disturb | None = None) -> Outcome:
        """Run the rounds; with `fault`, the coordinator is killed there and started again."""
        fleet, began = f"{self.algorithm}-{next(self._numbers)}", time.monotonic()
        directory = self.folder / fleet
        lost_at_kill: set[tuple[int, str]] = set()
        with self._devices(fleet) as devices:
            process = self._coordinate(fleet, directory, fault)
            if fault:
                self._serve(devices, process, disturb)
                assert process.returncode == -signal.SIGKILL, f"{fault}: it did not come there ({process.returncode})"
                self._hear_the_last(devices)
                lost_at_kill = _told(devices) - self._kept(fleet)
                self._silent = self.silent_after_kill
                process = self._coordinate(fleet, directory, "")
            self._serve(devices, process, disturb)
            assert process.stdout is not None
            said = process.stdout.read()
            assert process.returncode == 0, (self.folder / f"{fleet}.log").read_text()[-2000:]
            self._hear_the_last(devices)
        return self._count(name, fleet, devices, json.loads(said), time.monotonic() - began, lost_at_kill)

    @contextmanager
    def _devices(self, fleet: str) -> Iterator[list[RigDevice]]:
        links, devices = [], []
        for name in DEVICES:
            link = MqttTransport(self.url, f"{fleet}-{name}", will=will(fleet, name), keepalive=self.keepalive)
            links.append(link.connect())
            train = scaffold_update(name) if self.algorithm == "scaffold" else device_update(name)
            devices.append(RigDevice(name, link, train, fleet, examples=5 + int(name[1:])))
            devices[-1].join()
        yield devices
        for link in links:
            link.close(flush=0)

    def _coordinate(self, fleet: str, directory: Path, fault: str) -> subprocess.Popen[str]:
        arguments = [sys.executable, str(SCRIPT), self.url, fleet, str(directory)]
        arguments += [str(ROUNDS), str(len(DEVICES)), str(self.keepalive), self.algorithm]
        arguments += [str(self.connections), self.engine, str(self.aggregators)]
        path = os.pathsep.join([str(SCRIPT.parent), *sys.path])
        with (self.folder / f"{fleet}.log").open("a") as log:
            return subprocess.Popen(
                arguments,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**os.environ, VARIABLE: fault, "PYTHONPATH": path} | self.environment,
            )

    def _serve(self, devices: list[RigDevice], process: subprocess.Popen[str], disturb: Disturb | None) -> None:
        """Let the devices act until the coordinator's process has ended."""
        deadline = time.monotonic() + PATIENCE
        while process.poll() is None:
            if time.monotonic() > deadline:
                process.kill()
                process.wait()
                raise AssertionError(f"the coordinator did not end within {PATIENCE:g} s; see {self.folder}")
            if disturb is not None:
                disturb(devices)
            if not sum(device.step() for device in devices):
                time.sleep(0.005)
                for device in [] if self._silent else devices:
                    device.nudge()

    def _hear_the_last(self, devices: list[RigDevice]) -> None:
        deadline = time.monotonic() + 0.2
        while time.monotonic() < deadline:
            for device in devices:
                device.step()
            time.sleep(0.01)

    def _kept(self, fleet: str) -> set[tuple[int, str]]:
        """Return the reports (round, device) that a coordinator which starts now would know of."""
        store = StateStore(self.folder / fleet / "state.sqlite")
        rounds = [r for (r,) in store._db.execute("SELECT round_id FROM rounds")]
        kept = {(r, report.device) for r in rounds for report in store.reports(r)}
        store.close()
        return kept

    def _count(
        self,
        name: str,
        fleet: str,
        devices: list[RigDevice],
        end: dict[str, str],
        seconds: float,
        lost_at_kill: set[tuple[int, str]],
    ) -> Outcome:
        store = StateStore(self.folder / fleet / "state.sqlite")
        made = [v.round_id for v in store.versions() if v.round_id]
        counted = [(r, report.device) for r in made for report in store.reports(r)]
        store.close()
        told = _told(devices)
        return Outcome(
            name=name,
            committed=len(made),
            acknowledged=len(told),
            lost=len(lost_at_kill | (told - self._kept(fleet))),
            doubled=len(counted) - len(set(counted)),
            refused=sum(len(d.refusals) for d in devices),
            weights=end["weights"],
            state=end["state"],
            seconds=seconds,
            log=(self.folder / f"{fleet}.log").read_text(),
        )


def scaffold_update(name: str) -> Train:
    """A SCAFFOLD device sends two vectors: the change of its weights, and of its control variate."""
    one = device_update(name)
    return lambda weights, assignment: np.concatenate([one(weights, assignment), 0.5 * one(weights, assignment)])


def _told(devices: list[RigDevice]) -> set[tuple[int, str]]:
    return {(r, d.name) for d in devices for r in d.acknowledged}


def after_chunks(count: int, act: Callable[[], None]) -> Disturb:
    """Do `act` once, when the devices have sent `count` upload chunks."""
    done = [False]

    def disturb(devices: list[RigDevice]) -> None:
        if not done[0] and sum(d.chunks_sent for d in devices) >= count:
            done[0] = True
            act()

    return disturb
