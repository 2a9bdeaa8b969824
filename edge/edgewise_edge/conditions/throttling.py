"""Whether a Raspberry Pi slows itself: the firmware's flags, as `vcgencmd get_throttled` prints them."""

from __future__ import annotations

from edgewise_edge.conditions.base import Finding, Machine

FILES = "sys/devices/platform/soc*/*firmware/get_throttled"  # the same word in hexadecimal, without a program
NOW = {0: "under-voltage", 1: "frequency capped", 2: "throttled", 3: "soft temperature limit"}
"""The bits that tell of now; those from 16 on tell what has happened since boot, which is no reason to stay away."""


class Throttling:
    """Holds while the firmware does not slow the machine down; under-voltage counts, since training draws more."""

    period = 2.0

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def check(self) -> Finding:
        """Look."""
        allowed = self._machine.policy().when_throttled
        rule = "any" if allowed else "not throttled"
        flags = self._flags()
        if flags is None:
            return Finding("throttling", "no flags on this machine", rule, True)
        reasons = [words for bit, words in NOW.items() if flags >> bit & 1]
        return Finding("throttling", ", ".join(reasons) or "none", rule, allowed or not reasons)

    def _flags(self) -> int | None:
        for path in self._machine.glob(FILES):
            try:
                return int((self._machine.read(path) or "").removeprefix("throttled="), 16)
            except ValueError:
                continue
        return None
