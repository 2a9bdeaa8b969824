"""Whether the network costs its owner money: NetworkManager's own judgement, asked on the system bus."""

from __future__ import annotations

from edgewise_edge.conditions.base import Finding, Machine

SERVICE = "org.freedesktop.NetworkManager"
COMMAND = ("busctl", "--system", "get-property", SERVICE, f"/{SERVICE.replace('.', '/')}", SERVICE, "Metered")
METERED = {"u 1": "metered", "u 2": "unmetered", "u 3": "metered, it seems", "u 4": "unmetered, it seems"}
"""NMMetered: what the owner said of the connection (1, 2), or what NetworkManager guesses of it (3, 4)."""


class Network:
    """Holds on a network that is not metered, and on a metered one for which the owner allows megabytes.

    A machine without NetworkManager, or one that does not know, counts as unmetered: a Pi on a cable has none.
    """

    period = 30.0  # a program is run for it

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self.metered = False

    def check(self) -> Finding:
        """Look."""
        allowed = self._machine.policy().metered_megabytes
        rule = f"unmetered, or at most {allowed:g} MB a day" if allowed else "unmetered"
        answer = (self._machine.run(COMMAND) or "").strip()
        self.metered = answer in ("u 1", "u 3")
        reading = METERED.get(answer, "not known, taken for unmetered")
        return Finding("network", reading, rule, not self.metered or allowed > 0)
