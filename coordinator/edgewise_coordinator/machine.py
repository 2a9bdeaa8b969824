"""The state machine of one round (Bonawitz et al. 2019, §2.2): selection, configuration, reporting, closing.

It is pure: it sends nothing and stores nothing. Events change what it knows about a participant; `tick` looks at the
clock and at who is available, and returns what is to be done. The server carries that out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol, TypeAlias

from edgewise_coordinator.selection.base import Candidate, Selection, round_generator
from edgewise_coordinator.settings import RoundSettings
from edgewise_wire.clock import Clock
from edgewise_wire.messages import Kind


class Pool(Protocol):
    """What a round asks about the fleet."""

    def available(self) -> int:
        """Return how many devices offer themselves now."""

    def reachable(self, accept: Callable[[Candidate], bool] | None = None) -> int:
        """Return how many do, or could before long, of those whom `accept` takes."""

    def candidates(self) -> Sequence[Candidate]:
        """Return those who offer themselves, sorted by name."""


class Phase(str, Enum):
    """Where a round stands; `committed` and `abandoned` are its two ends."""

    SELECTION = "selection"
    CONFIGURATION = "configuration"
    REPORTING = "reporting"
    CLOSING = "closing"
    COMMITTED = "committed"
    ABANDONED = "abandoned"

    @property
    def open(self) -> bool:
        """Whether reports still count."""
        return self in (Phase.CONFIGURATION, Phase.REPORTING)

    @property
    def over(self) -> bool:
        """Whether nothing more happens."""
        return self in (Phase.COMMITTED, Phase.ABANDONED)


class Status(str, Enum):
    """Where one participant of a round stands."""

    ASSIGNED = "assigned"
    ACCEPTED = "accepted"
    REPORTED = "reported"
    FAILED = "failed"

    def __init__(self, value: str) -> None:
        self.live = value in ("assigned", "accepted")
        """Whether a report may still come."""


@dataclass(slots=True)
class Participant:
    """A device in this round. `offline_since` is when its link broke, `None` while it holds.

    `round_id` is the round of its assignment, `version` the one that it starts from; only a buffer's participants may
    come from an earlier round.
    """

    device: str
    attempt: int
    status: Status = Status.ASSIGNED
    since: float = 0.0
    offline_since: float | None = None
    reason: str = ""
    round_id: int = 0
    version: int = 0


@dataclass(frozen=True, slots=True)
class Assign:
    """Send the assignment to this device."""

    device: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Drop:
    """Tell this device to stop; its report would no longer count."""

    device: str
    attempt: int
    reason: str


@dataclass(frozen=True, slots=True)
class Close:
    """Enough reports are in: aggregate them and commit."""


@dataclass(frozen=True, slots=True)
class Abandon:
    """The round ends without a result."""

    reason: str


Action: TypeAlias = "Assign | Drop | Close | Abandon"


@dataclass(slots=True)
class RoundMachine:
    """One round. `everyone` makes the goal whoever is reachable when the round begins (evaluation), `most` at the
    most (0 for all); `number` counts training rounds from 1.

    The pool given to `tick` also says how many devices could still become available (online, not told to stay away):
    once they all are, waiting longer brings nobody.
    """

    round_id: int
    kind: Kind
    settings: RoundSettings
    selection: Selection
    clock: Clock
    seed: int = 0
    everyone: bool = False
    most: int = 0
    number: int = 0
    phase: Phase = Phase.SELECTION
    reason: str = ""
    goal: int = 0
    since: float = 0.0
    participants: dict[str, Participant] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.goal = self.goal or self.settings.goal
        self.since = self.clock.now()

    # What happened -------------------------------------------------------------------------------------------------

    def find(self, device: str, attempt: int) -> Participant | None:
        """Return the participant of exactly this attempt, if the round knows it."""
        found = self.participants.get(device)
        return found if found is not None and found.attempt == attempt else None

    def accepted(self, device: str, attempt: int) -> None:
        """Note that the device took its assignment."""
        found = self.find(device, attempt)
        if found is not None and found.status is Status.ASSIGNED:
            found.status = Status.ACCEPTED

    def failed(self, device: str, attempt: int, reason: str) -> None:
        """Note that no report will come of this attempt."""
        found = self.find(device, attempt)
        if found is not None and found.status.live:
            found.status, found.reason = Status.FAILED, reason

    def reported(self, device: str, attempt: int) -> None:
        """Note that the report is in and safe."""
        found = self.find(device, attempt)
        if found is not None and found.status is not Status.REPORTED:
            found.status, found.reason = Status.REPORTED, ""

    def presence(self, device: str, online: bool) -> None:
        """Note that a participant's link broke or came back."""
        found = self.participants.get(device)
        if found is None:
            return
        if online:
            found.offline_since = None
        elif found.offline_since is None:
            found.offline_since = self.clock.now()

    # What it comes to ----------------------------------------------------------------------------------------------

    def count(self, *statuses: Status) -> int:
        """Return how many participants have one of these statuses."""
        return sum(p.status in statuses for p in self.participants.values())

    @property
    def live(self) -> int:
        """How many reports may still come."""
        return self.count(Status.ASSIGNED, Status.ACCEPTED)

    @property
    def reports(self) -> int:
        """How many reports are in."""
        return self.count(Status.REPORTED)

    @property
    def least(self) -> int:
        """How few reports still make this round."""
        return 1 if self.everyone else min(self.settings.least, self.goal)

    def tick(self, pool: Pool) -> list[Action]:
        """Move on as far as the clock and the reports allow, and return what is to be done."""
        if self.phase is Phase.SELECTION:
            return self._select(pool)
        if self.phase.open:
            return self._expire() + self._replace(pool) + self._advance()
        return []

    def time_left(self, device: str) -> float:
        """Return the seconds until this participant's report is no longer waited for."""
        return max(1.0, self.since + self.settings.report_timeout - self.clock.now())

    def staleness(self, device: str) -> int:
        """Return how many versions the model has moved on since this participant got it: none in a cohort."""
        return 0

    def deadline(self) -> float:
        """Return when `tick` must be called next, even if nothing happens."""
        s = self.settings
        if self.phase is Phase.SELECTION:
            gather = self.since + s.gather_timeout
            return gather if gather > self.clock.now() else self.since + s.selection_timeout
        ends = [self.since + s.report_timeout]
        for p in self.participants.values():
            if p.status is Status.ASSIGNED:
                ends.append(p.since + s.accept_timeout)
            if p.status.live and p.offline_since is not None:
                ends.append(p.offline_since + s.offline_grace)
        return min(ends)

    def _select(self, pool: Pool) -> list[Action]:
        s, waited = self.settings, self.clock.now() - self.since
        eligible = self._eligible if self.selection.eligible is not None else None
        n = pool.available() if eligible is None else len(self._candidates(pool))
        goal = max(pool.reachable(eligible), s.goal) if self.everyone else s.goal
        goal = min(goal, self.most or goal)
        target = goal if self.everyone else s.target
        # Who could still come is looked at last: it walks the whole registry, and a large fleet seldom needs it.
        gathered = n >= target or (n >= goal and (waited >= s.gather_timeout or n >= pool.reachable(eligible)))
        if not gathered and waited < s.selection_timeout:
            return []
        if n < self.least:
            recent = pool.available() - n
            why = f", {recent} more took part too recently" if recent else ""
            return self.abandon(f"only {n} of {s.goal} devices were available after {waited:.0f} s{why}")
        chosen = self.selection(self._candidates(pool), min(target, n), round_generator(self.seed, self.round_id))
        if len(chosen) < self.least:
            why = f"the selection {self.selection.name!r} chose {len(chosen)} of at least {self.least} devices"
            return [] if waited < s.selection_timeout else self.abandon(why)
        self.goal = len(chosen) if self.everyone else min(s.goal, len(chosen))
        self.phase, self.since = Phase.CONFIGURATION, self.clock.now()
        return [self._assign(device) for device in chosen]

    def _eligible(self, candidate: Candidate) -> bool:
        return self.selection.eligible is None or self.selection.eligible(candidate, self.number)

    def _candidates(self, pool: Pool) -> Sequence[Candidate]:
        offered = pool.candidates()
        return offered if self.selection.eligible is None else [c for c in offered if self._eligible(c)]

    def _assign(self, device: str) -> Action:
        self.participants[device] = Participant(device, attempt=1, since=self.clock.now(), round_id=self.round_id)
        return Assign(device, 1)

    def _expire(self) -> list[Action]:
        s, now, dropped = self.settings, self.clock.now(), []
        for p in self.participants.values():
            if not p.status.live:
                continue
            if p.offline_since is not None and now - p.offline_since >= s.offline_grace:
                reason = f"offline for {s.offline_grace:.0f} s"
            elif p.status is Status.ASSIGNED and now - p.since >= s.accept_timeout:
                reason = f"no answer within {s.accept_timeout:.0f} s"
            else:
                continue
            self.failed(p.device, p.attempt, reason)
            dropped.append(Drop(p.device, p.attempt, reason))
        return list(dropped)

    def _replace(self, pool: Pool) -> list[Action]:
        """Ask others in the place of those who failed, while there is time for them to finish."""
        short = self.goal - self.reports - self.live
        if self.everyone or short <= 0 or self.clock.now() - self.since > self.settings.report_timeout / 2:
            return []
        fresh = [c for c in self._candidates(pool) if c.device not in self.participants]
        generator = round_generator(self.seed, self.round_id, len(self.participants))
        return [self._assign(device) for device in self.selection(fresh, short, generator)]

    def _advance(self) -> list[Action]:
        if self.phase is Phase.CONFIGURATION and not self.count(Status.ASSIGNED):
            self.phase = Phase.REPORTING
        late = self.clock.now() - self.since >= self.settings.report_timeout
        if self.reports >= self.goal or ((late or not self.live) and self.reports >= self.least):
            self.phase = Phase.CLOSING
            return [*self._dismiss("the round has enough reports"), Close()]
        if late or not self.live:
            return self.abandon(self._why_not())
        return []

    def _why_not(self) -> str:
        reasons = sorted({p.reason for p in self.participants.values() if p.reason})
        detail = f" ({'; '.join(reasons[:5])})" if reasons else ""
        return f"{self.reports} of at least {self.least} reports came from {len(self.participants)} devices{detail}"

    def abandon(self, reason: str) -> list[Action]:
        """End the round without a result, and return what is to be done."""
        dismissed = self._dismiss("the round was abandoned")
        self.phase, self.reason = Phase.ABANDONED, reason
        return [*dismissed, Abandon(reason)]

    def _dismiss(self, reason: str) -> list[Action]:
        live = [p for p in self.participants.values() if p.status.live]
        for p in live:
            self.failed(p.device, p.attempt, reason)
        return [Drop(p.device, p.attempt, reason) for p in live]
