"""How often a device takes part in one run, and how far apart: enforced here, whatever a coordinator says.

A guarantee by DP-FTRL holds for devices whose rounds are far enough apart, and one of so many participations for those
that take part in no more. So it is the device that counts them, by its own log: the coordinator's promise is a limit to
the coordinator.
"""

from __future__ import annotations

from collections.abc import Callable

from edgewise_edge.participation import ParticipationLog
from edgewise_edge.policy import Policy
from edgewise_wire.messages import Assignment, Kind


class Separation:
    """Refuses a round that comes too soon after the last one of its run, and one more than may be of it."""

    def __init__(self, records: ParticipationLog, policy: Callable[[], Policy]) -> None:
        self._records = records
        self._policy = policy

    def refusal(self, asked: Assignment) -> str | None:
        """Return why an assignment comes too early or once too often, or `None`.

        The same number again is neither: the round that had it before was abandoned, and released nothing.
        """
        if asked.kind != Kind.TRAIN:
            return None
        rules = self._policy()
        if not asked.privacy.number:
            return _unnumbered(rules)
        return self._too_early(asked, rules) or self._too_often(asked, rules)

    def _too_early(self, asked: Assignment, rules: Policy) -> str | None:
        terms, least = asked.privacy, max(asked.privacy.separation, rules.min_separation_rounds)
        last = self._records.last_number(terms.run) if least > 1 else 0
        if not last or terms.number == last or terms.number - last >= least:
            return None
        return f"round {terms.number} of the run is {terms.number - last} after this device's last, expected {least}"

    def _too_often(self, asked: Assignment, rules: Policy) -> str | None:
        terms = asked.privacy
        most = min((limit for limit in (terms.participations, rules.max_participations) if limit), default=0)
        if not most:
            return None
        taken = self._records.rounds_taken(terms.run, besides=terms.number)
        return (
            None if taken < most else f"this device took part in {taken} rounds of the run, at most {most} are agreed"
        )


def _unnumbered(rules: Policy) -> str | None:
    if rules.min_separation_rounds > 1:
        least = rules.min_separation_rounds
        return f"the owner asks for {least} rounds between two, and the assignment does not number them"
    if rules.max_participations:
        most = rules.max_participations
        return f"the owner allows {most} rounds of a run, and the assignment does not number them"
    return None
