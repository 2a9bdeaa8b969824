"""Mains or battery: `/sys/class/power_supply`, where the kernel lists what feeds the machine."""

from __future__ import annotations

from pathlib import Path

from edgewise_edge.conditions.base import Finding, Machine

FOLDER = "sys/class/power_supply"
FEEDS = ("Mains", "USB", "USB_C", "USB_PD", "USB_DCP", "USB_CDP", "Wireless")
CELLS = ("Battery", "UPS")
FED = ("Charging", "Full", "Not charging")  # a battery's status while something feeds it


class Power:
    """Holds on mains, and on a battery that is full enough if the owner allows batteries.

    A machine without a battery runs on mains, whatever the kernel says: a Raspberry Pi lists nothing at all.
    """

    period = 2.0

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def check(self) -> Finding:
        """Look."""
        policy = self._machine.policy()
        rule = f"mains, or a battery of at least {policy.min_battery:g} %" if policy.on_battery else "mains"
        cells = [path for path in self._machine.glob(f"{FOLDER}/*") if self._is_cell(path)]
        if not cells:
            return Finding("power", "mains, no battery", rule, True)
        level = min(map(self._level, cells))
        reading = f"battery at {level:.0f} %"
        if self._fed(cells):
            return Finding("power", f"mains, {reading}", rule, True)
        return Finding("power", reading, rule, policy.on_battery and level >= policy.min_battery)

    def _is_cell(self, path: Path) -> bool:
        # A mouse has a battery too: it says that its scope is a device.
        return self._read(path, "type") in CELLS and self._read(path, "scope") != "Device"

    def _fed(self, cells: list[Path]) -> bool:
        feeds = [path for path in self._machine.glob(f"{FOLDER}/*") if self._read(path, "type") in FEEDS]
        if any(self._read(path, "online") not in ("", "0") for path in feeds):
            return True
        return not feeds and all(self._read(path, "status") in FED for path in cells)

    def _level(self, path: Path) -> float:
        text = self._read(path, "capacity")
        return float(text) if text.isdigit() else 0.0

    def _read(self, path: Path, name: str) -> str:
        return self._machine.read(path / name) or ""
