"""What the owner allows a day, held against the participation log: so it also counts what earlier processes did.

A day is the last 24 hours. Entries dated more than a day ahead come from a clock that was wrong, and count no more.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from edgewise_edge.participation import ParticipationLog, Used
from edgewise_edge.policy import MEGABYTE, Policy
from edgewise_wire.clock import Clock
from edgewise_wire.messages import Assignment, Kind

DAY = 86400.0
LOOK_SECONDS = 30.0  # the log is not asked between any two batches


class Budget:
    """How much of the owner's day is left.

    Args:
        records: the participation log.
        clock: where the date comes from.
        policy: returns the owner's limits.
        metered: whether the network costs money now.
    """

    def __init__(
        self, records: ParticipationLog, clock: Clock, policy: Callable[[], Policy], metered: Callable[[], bool]
    ) -> None:
        self.metered = metered
        self._records = records
        self._clock = clock
        self._policy = policy
        self._used = Used()
        self._again = -math.inf

    def used(self) -> Used:
        """Return what the last 24 hours took, as the log had it a moment ago."""
        if self._clock.now() >= self._again:
            self._again = self._clock.now() + LOOK_SECONDS
            now = self._clock.wall()
            self._used = self._records.used(now - DAY, now + DAY)
        return self._used

    def changed(self) -> None:
        """Ask the log again: something was just written into it."""
        self._again = -math.inf

    def obstacle(self) -> str | None:
        """Return which of the day's limits is used up, or `None`."""
        policy, used = self._policy(), self.used()
        if policy.max_epochs_day and used.epochs >= policy.max_epochs_day:
            return f"the owner's {policy.max_epochs_day} epochs a day are used up"
        if policy.max_minutes_day and used.seconds >= 60 * policy.max_minutes_day:
            return f"the owner's {policy.max_minutes_day:g} minutes a day are used up"
        moved, most, words = self._traffic(policy, used)
        return f"the owner's {words} are used up" if most and moved >= most else None

    def refusal(self, asked: Assignment, traffic: int) -> str | None:
        """Return why an assignment that moves so many bytes does not fit into what is left, or `None`."""
        policy, used = self._policy(), self.used()
        if asked.kind == Kind.TRAIN and policy.max_epochs_day and used.epochs + asked.epochs > policy.max_epochs_day:
            left = policy.max_epochs_day - used.epochs
            return f"{asked.epochs} epochs were asked for, of the owner's {policy.max_epochs_day} a day {left} are left"
        moved, most, words = self._traffic(policy, used)
        if most and moved + traffic > most:
            left_mb = max(most - moved, 0.0) / MEGABYTE
            return f"the round would move {traffic / MEGABYTE:.1f} MB, of the owner's {words} {left_mb:.1f} MB are left"
        return self.obstacle()

    def overrun(self, seconds: float, moved: int) -> str | None:
        """Return which limit work in progress has passed, by what the log does not know of it yet, or `None`."""
        policy = self._policy()
        if not (policy.max_minutes_day or policy.max_megabytes_day or policy.metered_megabytes):
            return None
        used = self.used()
        if policy.max_minutes_day and used.seconds + seconds >= 60 * policy.max_minutes_day:
            return f"the owner's {policy.max_minutes_day:g} minutes a day are used up"
        before, most, words = self._traffic(policy, used)
        return f"the owner's {words} are used up" if most and before + moved > most else None

    def _traffic(self, policy: Policy, used: Used) -> tuple[float, float, str]:
        """Return the bytes moved, the most that may be, and the words for it, of the limit that is nearer."""
        limits = [(used.traffic, policy.max_megabytes_day, "a day")]
        if self.metered():
            limits.append((used.metered, policy.metered_megabytes, "a day on metered networks"))
        known = [(moved, MEGABYTE * most, f"{most:g} MB {words}") for moved, most, words in limits if most]
        return min(known, key=lambda limit: limit[1] - limit[0], default=(0.0, 0.0, ""))
