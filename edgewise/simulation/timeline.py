"""A round in virtual time: the real round machine, and devices that answer it when their speed and their fate say.

When a device reports, and whether, depends on how much it has to do and not on what it learns. So a round is played
first, and only those who report in time are trained afterwards. Should one of them turn out to have no update (its
training diverged), the round is played again with that known.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import repeat
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgewise.simulation.availability import Numbers, uniform
from edgewise.simulation.population import Population
from edgewise.simulation.roster import Kept, Roster, VirtualClock
from edgewise_coordinator.buffered import BufferMachine
from edgewise_coordinator.machine import Abandon, Assign, Close, Drop, Participant, Phase, RoundMachine, Status

TINY_SECONDS = 1e-6  # far more than a float64's last bit at any time that a simulation reaches
REPORT, GONE = 0, 1  # what a device does next: it reports, or its link breaks

Failures = Mapping[tuple[int, int], str]
"""(device, round of its assignment) to why no update came of it, for those of which that is known."""


class Event(NamedTuple):
    """What a device does at a time; events of one moment happen in the devices' order."""

    at: float
    device: int
    kind: int
    round_id: int


class Reporter(NamedTuple):
    """A device whose report counts in a round, and where its training started."""

    device: int
    round_id: int
    version: int
    staleness: int


@dataclass(frozen=True, slots=True)
class Workload:
    """What an assignment asks of devices: steps by device, and bytes each way."""

    steps: NDArray[np.int64]
    bytes_down: int
    bytes_up: int


@dataclass(frozen=True, slots=True)
class Played:
    """How a round went."""

    reporters: list[Reporter]
    selected: int
    failed: dict[str, int]
    reason: str
    assigned: int

    @property
    def committed(self) -> bool:
        """Whether it makes a version."""
        return not self.reason


class Moment(NamedTuple):
    """Everything that playing a round changes, to begin it again."""

    now: float
    kept: Kept
    events: list[Event]
    carried: list[Participant]


class Timeline:
    """Plays rounds one after the other; in buffered ones devices stay at work from one to the next."""

    def __init__(self, roster: Roster, population: Population, work: Workload, clock: VirtualClock, seed: int) -> None:
        self._roster = roster
        self._population = population
        self._work = work
        self._clock = clock
        self._events: list[Event] = []
        self.carried: list[Participant] = []
        self._keys = np.random.default_rng([seed, 0xFA]).integers(0, 1 << 63, (2, len(roster.names)), dtype=np.uint64)

    def moment(self) -> Moment:
        """Return a copy of how things stand."""
        return Moment(
            self._clock.now(), self._roster.snapshot(), list(self._events), [replace(p) for p in self.carried]
        )

    def go_back(self, moment: Moment) -> None:
        """Let things stand as they did."""
        self._clock.set(moment.now)
        self._roster.restore(moment.kept)
        self._events = list(moment.events)
        self.carried = [replace(p) for p in moment.carried]

    def play(self, machine: RoundMachine, failures: Failures) -> Played:
        """Play a round to its end, whichever that is."""
        buffered = isinstance(machine, BufferMachine)
        if isinstance(machine, BufferMachine):
            machine.take_over(self.carried)
        assigned = 0
        while True:
            assign: list[int] = []
            for action in machine.tick(self._roster):
                if isinstance(action, Assign):
                    assign.append(self._roster.number(action.device))
                elif isinstance(action, Drop):
                    self._roster.release(self._roster.number(action.device))
                elif isinstance(action, (Close, Abandon)):
                    return self._ended(machine, assigned, buffered)
            if assign:
                assigned += len(assign)
                self._start(machine, np.array(assign, np.int64))
            self._until_tick(machine, failures, buffered)

    def _start(self, machine: RoundMachine, devices: Numbers) -> None:
        """Send devices to work: what each will do, and when."""
        now, population = self._clock.now(), self._population
        self._roster.take(devices, machine.number)
        seconds = population.seconds(devices, self._work.steps[devices], self._work.bytes_down, self._work.bytes_up)
        # In a buffered round a device that was lost may be asked again, and need not be lost again.
        again = machine.draws if isinstance(machine, BufferMachine) else 0
        draws = uniform(self._keys[:, devices] + np.uint64(machine.round_id + (again << 32)))
        lost = draws[0] < population.drop_out[devices]
        ends = now + np.where(lost, draws[1] * seconds, seconds)
        leaves = self._roster.availability.until(devices, now)
        gone = lost | (leaves < ends)
        moments, kinds = np.minimum(ends, leaves).tolist(), np.where(gone, GONE, REPORT).tolist()
        self._events += map(Event, moments, devices.tolist(), kinds, repeat(machine.round_id))
        heapq.heapify(self._events)
        in_time = population.latency[devices] < machine.settings.accept_timeout
        for device in devices[in_time].tolist():
            name = self._roster.names[device]
            machine.accepted(name, machine.participants[name].attempt)

    def _until_tick(self, machine: RoundMachine, failures: Failures, buffered: bool) -> None:
        """Let time pass until the machine has something to decide."""
        selecting = machine.phase is Phase.SELECTION
        # A deadline that has come, but for the last bit of a sum in the machine, comes a moment later.
        deadline = max(machine.deadline(), self._clock.now() + TINY_SECONDS)
        live, reports = machine.live, machine.reports
        while True:
            waits = self._roster.availability.next_change(self._clock.now()) if selecting or buffered else math.inf
            moment = min(deadline, waits, self._events[0].at if self._events else math.inf)
            self._clock.move_to(moment)
            decide = moment >= deadline or selecting or moment >= waits
            # Of reports that come at the same moment a buffer takes what it has room for, and the next one the others.
            while self._events and self._events[0].at <= moment and not (buffered and reports >= machine.goal):
                counted = self._happen(machine, heapq.heappop(self._events), failures)
                reports, live = reports + (counted > 0), live - (counted > 0)
                decide |= counted < 0
            if decide or buffered or reports >= machine.goal or live <= 0:
                return

    def _happen(self, machine: RoundMachine, event: Event, failures: Failures) -> int:
        """Let an event happen; return 1 if a report is in, -1 if somebody failed, 0 if it concerns nobody any more."""
        name = self._roster.names[event.device]
        found = machine.participants.get(name)
        if found is None or found.round_id != event.round_id or not found.status.live:
            return 0
        if event.kind == GONE:
            machine.presence(name, False)
            return -1
        self._roster.release(event.device)
        why = failures.get((event.device, event.round_id))
        if why is not None:
            machine.failed(name, found.attempt, why)
            return -1
        machine.reported(name, found.attempt)
        return 1

    def _ended(self, machine: RoundMachine, assigned: int, buffered: bool) -> Played:
        participants = machine.participants.values()
        reporters = [
            Reporter(self._roster.number(p.device), p.round_id, p.version, machine.staleness(p.device))
            for p in participants
            if p.status is Status.REPORTED
        ]
        failed: dict[str, int] = {}
        for p in participants:
            if p.status is Status.FAILED:
                failed[p.reason] = failed.get(p.reason, 0) + 1
        self.carried = [p for p in participants if p.status.live] if buffered else []
        if not buffered:
            self._events.clear()
            self._roster.release_all()
        return Played(reporters, len(machine.participants), failed, machine.reason, assigned)
