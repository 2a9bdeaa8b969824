"""The hours of the day that the owner gives."""

from __future__ import annotations

import time

from edgewise_edge.conditions.base import Finding, Machine
from edgewise_edge.hours import inside, parse_hours


class Hours:
    """Holds inside the owner's hours, by the machine's time zone; without a date that can be believed it does not."""

    period = 2.0

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def check(self) -> Finding:
        """Look."""
        text = self._machine.policy().hours
        rule, date = text or "any", self._machine.date()
        if date is None:
            return Finding("hours", "the clock is behind the last date seen", rule, not text)
        local = time.localtime(date)
        minute = 60 * local.tm_hour + local.tm_min
        return Finding("hours", time.strftime("%H:%M", local), rule, inside(parse_hours(text), minute))
