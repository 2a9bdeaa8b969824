"""The device between two assignments: may it take part now, and if so, saying so (idle, eligible, checked-in)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

from edgewise_edge.budget import Budget
from edgewise_edge.host import Counts, Host
from edgewise_edge.link import Link
from edgewise_edge.model import LatestModel
from edgewise_edge.policy import Policy
from edgewise_edge.session import Work
from edgewise_edge.status import Status
from edgewise_wire.clock import Clock
from edgewise_wire.errors import EdgewiseError
from edgewise_wire.messages import CheckIn, DeviceState
from edgewise_wire.version import __version__

RECHECK_SECONDS = 60.0
RECHECK_JITTER = 0.2  # so that a fleet which started at once does not speak at once for ever
COME_BACK_MAX = 7 * 86400.0  # a coordinator cannot send a device away for longer than a week


class Dice(Protocol):
    """What draws a number evenly from a range: `random.Random`, or a NumPy generator."""

    def uniform(self, low: float, high: float, /) -> float:
        """Draw one."""


class Availability:
    """Decides when to offer the device, and offers it.

    Law: no check-in for work while a condition or the owner's policy stands against it.
    """

    def __init__(
        self, link: Link, host: Host, status: Status, model: LatestModel,
        *, clock: Clock, policy: Callable[[], Policy], budget: Budget, rng: Dice,
    ) -> None:  # fmt: skip
        self._link = link
        self._host = host
        self._status = status
        self._model = model
        self._clock = clock
        self._policy = policy
        self._budget = budget
        self._rng = rng
        self._counts = Counts(0, 0)
        self._obstacle = ""  # the last one that was told
        self._earliest = -math.inf
        self.due = -math.inf

    def keep_distance(self, since_report: float) -> None:
        """Keep the owner's separation from a report that was accepted so many seconds ago."""
        self._earliest = self._clock.now() + max(self._policy().min_separation - max(since_report, 0.0), 0.0)
        self.due = max(self.due, self._earliest)

    def connected(self) -> None:
        """The link is up: what waited for it can be said."""
        if self._status.state is DeviceState.ELIGIBLE:
            self._offer()

    def disconnected(self) -> None:
        """The link is down: the coordinator counts on this device no more."""
        if self._status.state is DeviceState.CHECKED_IN:
            self._status.enter(DeviceState.ELIGIBLE)

    def sleep(self, seconds: float, why: str = "") -> None:
        """Be idle for a time."""
        self.due = max(self._clock.now() + seconds, self._earliest)
        self._status.enter(DeviceState.IDLE, why=why)

    def wake(self) -> None:
        """Look again at once, if the owner's separation allows it."""
        self.due = self._earliest

    def tick(self) -> None:
        """See whether the device can take part, and offer it."""
        if self._clock.now() < self.due:
            return
        why = self.obstacle()
        if why is not None:
            kind = why.partition(":")[0]  # a reading that changes is no news; another condition is
            self.sleep(self.recheck_seconds(), f"not eligible: {why}" if kind != self._obstacle else "")
            self._obstacle = kind
            return
        self._obstacle = ""
        self.due = self._clock.now() + self.recheck_seconds()
        if self._status.state is DeviceState.IDLE:
            self._status.enter(DeviceState.ELIGIBLE)
        if self._link.up:
            self._offer()

    def obstacle(self) -> str | None:
        """Return why the device cannot take part now, or `None`."""
        try:
            self._counts = self._host.counts()
            why = self._host.obstacle()
        except EdgewiseError as error:
            return str(error)
        least = self._policy().min_examples
        if why is None and self._counts.train < least:
            why = f"{self._counts.train} examples to train on, the owner asks for at least {least}"
        return why or self._budget.obstacle()

    def check_in(self, work: Work | None) -> None:
        """Say what this device has, and which work it still holds."""
        latest = self._model.load()
        round_number, attempt = work.rank if work is not None else (0, 0)
        train, held_out = self._counts
        if self._policy().require_secure_aggregation:  # the coordinator learns sums; how many are here is no sum
            train, held_out = min(train, 1), min(held_out, 1)
        body = CheckIn(
            self._link.identity.session, latest.graph if latest else b"", train, held_out,
            self._host.runtime, f"edgewise {__version__}", round_number, attempt,
        )  # fmt: skip
        self._link.say(body)

    def recheck_seconds(self) -> float:
        """Return when to look again: about a minute."""
        return RECHECK_SECONDS * float(self._rng.uniform(1 - RECHECK_JITTER, 1 + RECHECK_JITTER))

    def _offer(self) -> None:
        self.check_in(None)
        self._status.enter(DeviceState.CHECKED_IN)


def bounded(seconds: float) -> float:
    """Return a time to come back that a coordinator may ask for: finite, from now, within a week."""
    return min(max(seconds, 0.0), COME_BACK_MAX) if math.isfinite(seconds) else RECHECK_SECONDS
