"""What else the machine does: `/proc/loadavg`."""

from __future__ import annotations

from edgewise_edge.conditions.base import Finding, Machine


class Load:
    """Holds while the load of the last minute, a core's share, is below the owner's; training itself counts as 1."""

    period = 2.0

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def check(self) -> Finding:
        """Look."""
        most = self._machine.policy().max_load
        rule = f"at most {most:g} a core" if most else "any"
        try:
            share = float((self._machine.read("proc/loadavg") or "").split()[0]) / self._machine.cores
        except (ValueError, IndexError):
            return Finding("load", "not known", rule, True)
        return Finding("load", f"{share:.2f} a core", rule, not most or share <= most)
