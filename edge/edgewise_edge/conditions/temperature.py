"""The hottest sensor of the machine: `/sys/class/thermal`."""

from __future__ import annotations

from edgewise_edge.conditions.base import Finding, Machine

SENSORS = "sys/class/thermal/thermal_zone*/temp"
POSSIBLE = range(-40_000, 150_000)  # thousandths of a degree; a sensor that is switched off says -273 or 255


class Temperature:
    """Holds up to the owner's temperature; a machine without a sensor is not known to be hot."""

    period = 2.0

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def check(self) -> Finding:
        """Look."""
        most = self._machine.policy().max_temperature
        rule = f"at most {most:g} °C" if most else "any"
        found = [value for path in self._machine.glob(SENSORS) if (value := _number(self._machine.read(path)))]
        degrees = max((value for value in found if value in POSSIBLE), default=None)
        if degrees is None:
            return Finding("temperature", "no sensor", rule, True)
        return Finding("temperature", f"{degrees / 1000:.1f} °C", rule, not most or degrees <= 1000 * most)


def _number(text: str | None) -> int | None:
    try:
        return int(text or "")
    except ValueError:
        return None
