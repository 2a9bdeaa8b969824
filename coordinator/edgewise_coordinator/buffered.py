"""Buffered asynchronous rounds (Nguyen et al. 2022, "Federated Learning with Buffered Asynchronous Aggregation").

The round machine without a cohort: devices are assigned as others finish, up to a number at work at once (the paper's
concurrency), each starts from the newest version there is, and a version is made whenever K reports are in, whatever
they started from. What is still at work then goes over into the next round.

Where this differs from the paper: a device counts once in a buffer, so that none can fill it alone; a report that is
more than `max_staleness` versions old is let go of; and after the report deadline fewer than K, but `min_reports`, do.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from edgewise_coordinator.machine import Action, Assign, Close, Drop, Participant, Phase, Pool, RoundMachine, Status
from edgewise_coordinator.selection.base import round_generator


@dataclass(slots=True)
class BufferMachine(RoundMachine):
    """One buffer. It is open from the start, and never abandoned: what was acknowledged waits until there is enough.

    `version` is the one that devices start from now; participants carry the round and the version they started with.
    """

    concurrency: int = 1
    max_staleness: int = 20
    version: int = 0
    draws: int = 0

    def __post_init__(self) -> None:
        RoundMachine.__post_init__(self)
        self.phase = Phase.CONFIGURATION

    def take_over(self, participants: Iterable[Participant]) -> None:
        """Go on with those who were at work when the buffer before was full."""
        self.participants.update({p.device: p for p in participants})

    def carried(self) -> list[Participant]:
        """Return those who are still at work."""
        return [p for p in self.participants.values() if p.status.live]

    def staleness(self, device: str) -> int:
        """Return τ: how many versions the model has moved on since this participant started."""
        return self.version - self.participants[device].version

    def time_left(self, device: str) -> float:
        """Return the seconds until this participant's report is no longer waited for."""
        found = self.participants.get(device)
        since = self.clock.now() if found is None else found.since
        return max(1.0, since + self.settings.report_timeout - self.clock.now())

    def tick(self, pool: Pool) -> list[Action]:
        """Let go of those who are too late, assign others, and close when the buffer is full."""
        if not self.phase.open:
            return []
        return [*self._expire(), *self._retire(), *self._fill(pool), *self._close()]

    def deadline(self) -> float:
        """Return when `tick` must be called next, even if nothing happens."""
        s, now = self.settings, self.clock.now()
        ends = [self.since + s.report_timeout] if self.reports >= self.least else []
        for p in self.carried():
            ends.append(p.since + (s.accept_timeout if p.status is Status.ASSIGNED else s.report_timeout))
            if p.offline_since is not None:
                ends.append(p.offline_since + s.offline_grace)
        return min(ends, default=now + s.report_timeout)

    def _retire(self) -> list[Action]:
        s, now, dropped = self.settings, self.clock.now(), []
        for p in self.carried():
            if now - p.since >= s.report_timeout:
                reason = f"no report within {s.report_timeout:.0f} s"
            elif self.staleness(p.device) > self.max_staleness:
                reason = f"its model is {self.staleness(p.device)} versions old, at most {self.max_staleness} count"
            else:
                continue
            self.failed(p.device, p.attempt, reason)
            dropped.append(Drop(p.device, p.attempt, reason))
        return list(dropped)

    def _fill(self, pool: Pool) -> list[Action]:
        wanted = self.concurrency - self.live
        if wanted <= 0 or not pool.available() or self.reports >= self.goal:
            return []
        fresh = [c for c in self._candidates(pool) if not self._counts(c.device)]
        self.draws += 1
        generator = round_generator(self.seed, self.round_id, self.draws)
        return [self._assign(device) for device in self.selection(fresh, wanted, generator)]

    def _counts(self, device: str) -> bool:
        """Whether a device is in this buffer already; one that failed may try again."""
        found = self.participants.get(device)
        return found is not None and found.status is not Status.FAILED

    def _assign(self, device: str) -> Action:
        attempt = self.round_id & 0xFFFFFFFF  # tells one device's assignments apart, over the rounds
        now = self.clock.now()
        self.participants[device] = Participant(
            device, attempt, since=now, round_id=self.round_id, version=self.version
        )
        return Assign(device, attempt)

    def _close(self) -> list[Action]:
        late = self.clock.now() - self.since >= self.settings.report_timeout
        if self.reports >= self.goal or (late and self.reports >= self.least):
            self.phase = Phase.CLOSING
            return [Close()]
        self.phase = Phase.REPORTING if self.count(Status.ACCEPTED, Status.REPORTED) else Phase.CONFIGURATION
        return []
