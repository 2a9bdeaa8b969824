"""The distance between two rounds of one run that a device takes part in: enforced here, whatever a coordinator says.

A guarantee by DP-FTRL holds for devices whose rounds are far enough apart. So it is the device that keeps them apart,
by its own log: the coordinator's promise of a separation is a limit to the coordinator.
"""

from __future__ import annotations

from collections.abc import Callable

from edgewise_edge.participation import ParticipationLog
from edgewise_edge.policy import Policy
from edgewise_wire.messages import Assignment, Kind


class Separation:
    """Refuses a round that comes too soon after the last one of its run."""

    def __init__(self, records: ParticipationLog, policy: Callable[[], Policy]) -> None:
        self._records = records
        self._policy = policy

    def refusal(self, asked: Assignment) -> str | None:
        """Return why an assignment comes too early, or `None`.

        The same number again is not too early: the round that had it before was abandoned, and released nothing.
        """
        if asked.kind != Kind.TRAIN:
            return None
        terms, own = asked.privacy, self._policy().min_separation_rounds
        if own > 1 and not terms.number:
            return f"the owner asks for {own} rounds between two, and the assignment does not number them"
        least = max(terms.separation, own)
        last = self._records.last_number(terms.run) if terms.number and least > 1 else 0
        if not last or terms.number == last or terms.number - last >= least:
            return None
        return f"round {terms.number} of the run is {terms.number - last} after this device's last, expected {least}"
