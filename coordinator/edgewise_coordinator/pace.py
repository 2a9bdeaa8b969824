"""Pace steering: when a device is to come back (Bonawitz et al. 2019, "Towards Federated Learning at Scale", §2.3).

In a small fleet every device should be there when a round begins, so none is sent away. In a large one most check-ins
are for nothing, and the coordinator says when the next one is worth a device's while: one window for devices whose
report was accepted, a shorter one for those that were turned away, both ±20 % so that a fleet which was once in step
does not stay so.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np

from edgewise_wire.errors import ConfigError

# A check-in and a presence of each device are 1,000 messages: as many as Mosquitto keeps for a coordinator that is away
# for a moment (max_queued_messages) before it drops them in silence. Above it, not everyone may speak at once.
SMALL_FLEET = 500
LATE_SECONDS = 5.0  # a late report in a small fleet: the next round has begun by then
JITTER = 0.2
ACCEPTED_LONGER = 2.0  # a device that has just contributed waits twice as long as one that came for nothing
RESERVE = 2  # cohorts' worth of devices that may wait for the next round; more are sent away
LONGEST = 7 * 86400.0  # devices do not let themselves be sent away for longer (`edgewise_edge.availability`)


class Windows(NamedTuple):
    """Seconds until the next check-in, before jitter."""

    accepted: float
    rejected: float


class Pace(Protocol):
    """Says when devices come back; `fleet` is how many are online. All times are in seconds, 0 for at once."""

    def accepted(self, fleet: int) -> float:
        """Return when a device comes back whose report was accepted."""

    def dropped(self, fleet: int) -> float:
        """Return when one does that was let go of without a report."""

    def late(self, fleet: int) -> float:
        """Return when one does whose report came too late or was refused."""

    def crowded(self, fleet: int, available: int, target: int) -> bool:
        """Return whether one more check-in is too many, with so many available for rounds of `target` devices."""

    def calls(self, fleet: int) -> bool:
        """Return whether a coordinator that has just started may ask every device online to check in at once."""


class NoPace:
    """Nobody is sent away, but for late reports: the next round has begun when their devices come back."""

    def __init__(self, rng: np.random.Generator | None = None) -> None:
        self._rng = rng or np.random.default_rng(0)

    def accepted(self, fleet: int) -> float:
        """Return 0."""
        return 0.0

    def dropped(self, fleet: int) -> float:
        """Return 0."""
        return 0.0

    def late(self, fleet: int) -> float:
        """Return about `LATE_SECONDS`."""
        return jittered(LATE_SECONDS, self._rng)

    def crowded(self, fleet: int, available: int, target: int) -> bool:
        """Return `False`."""
        return False

    def calls(self, fleet: int) -> bool:
        """Return `True`."""
        return True


class PaceSteering:
    """Keeps the check-ins of a large fleet near a wanted rate; a small one is left alone as by `NoPace`.

    N devices that check in R times a second in all come back after N/R seconds on average. With p the share of
    check-ins that end in an accepted report (counted as it goes) and accepted devices waiting k times as long, the
    windows are W = (N/R) / (1 + p(k − 1)) for the rejected and kW for the accepted ones: pkW + (1 − p)W = N/R.

    Args:
        check_ins_per_second: R; ten gather a cohort of 130 in 13 s.
        rng: draws the jitter; nothing that is learned depends on it.
        small: the largest fleet that is left alone.

    Raises:
        ConfigError: if the rate is not positive.
    """

    def __init__(
        self, check_ins_per_second: float, rng: np.random.Generator | None = None, small: int = SMALL_FLEET
    ) -> None:
        if not 0 < check_ins_per_second < float("inf"):
            raise ConfigError(f"check-ins per second: expected a positive number, got {check_ins_per_second}")
        self._rate = check_ins_per_second
        self._rng = rng or np.random.default_rng(0)
        self._small = small
        self._alone = NoPace(self._rng)
        self._counts = [1, 1]  # rejected, accepted: one of each before anything is known

    def windows(self, fleet: int) -> Windows:
        """Return both windows for a fleet of this size."""
        share = self._counts[1] / sum(self._counts)
        rejected = fleet / self._rate / (1 + share * (ACCEPTED_LONGER - 1))
        return Windows(min(ACCEPTED_LONGER * rejected, LONGEST), min(rejected, LONGEST))

    def accepted(self, fleet: int) -> float:
        """Return the accepted window, ±20 %."""
        self._counts[1] += 1
        return 0.0 if fleet <= self._small else jittered(self.windows(fleet).accepted, self._rng)

    def dropped(self, fleet: int) -> float:
        """Return the rejected window, ±20 %."""
        self._counts[0] += 1
        return 0.0 if fleet <= self._small else jittered(self.windows(fleet).rejected, self._rng)

    def late(self, fleet: int) -> float:
        """Return the rejected window, ±20 %."""
        return self._alone.late(fleet) if fleet <= self._small else self.dropped(fleet)

    def crowded(self, fleet: int, available: int, target: int) -> bool:
        """Return whether the next round has its devices already, and some in reserve."""
        return fleet > self._small and available >= RESERVE * target

    def calls(self, fleet: int) -> bool:
        """Return whether the fleet is small: devices of a large one offer themselves again within a minute."""
        return fleet <= self._small


def jittered(seconds: float, rng: np.random.Generator) -> float:
    """Return a time near `seconds`, at most 20 % away and within a week; a float32, as it travels."""
    return float(np.float32(min(seconds * rng.uniform(1 - JITTER, 1 + JITTER), LONGEST)))
