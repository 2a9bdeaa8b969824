"""Room on the disk that holds the device's folder."""

from __future__ import annotations

from edgewise_edge.conditions.base import Finding, Machine
from edgewise_edge.policy import MEGABYTE


class Disk:
    """Holds while so much is free; a round needs room for a model and an update."""

    period = 2.0

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def check(self) -> Finding:
        """Look."""
        least = self._machine.policy().min_free_disk
        rule = f"at least {least:g} MB free" if least else "any"
        free = self._machine.free(self._machine.home)
        if free is None:
            return Finding("disk", "not known", rule, True)
        return Finding("disk", f"{free // MEGABYTE} MB free", rule, free >= least * MEGABYTE)
