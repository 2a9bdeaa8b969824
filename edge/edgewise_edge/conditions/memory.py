"""Memory that programs could still take without the system swapping: `MemAvailable` of `/proc/meminfo`."""

from __future__ import annotations

import re

from edgewise_edge.conditions.base import Finding, Machine
from edgewise_edge.policy import MEGABYTE


class Memory:
    """Holds while so much is available; between two batches the training's own memory is taken already."""

    period = 2.0

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def check(self) -> Finding:
        """Look."""
        least = self._machine.policy().min_free_memory
        rule = f"at least {least:g} MB available" if least else "any"
        found = re.search(r"^MemAvailable:\s+(\d+) kB", self._machine.read("proc/meminfo") or "", re.MULTILINE)
        if not found:
            return Finding("memory", "not known", rule, True)
        free = 1024 * int(found[1])
        return Finding("memory", f"{free // MEGABYTE} MB available", rule, free >= least * MEGABYTE)
