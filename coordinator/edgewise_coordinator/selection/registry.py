"""Selection strategies by name."""

from __future__ import annotations

from edgewise_coordinator.plugins import find
from edgewise_coordinator.selection.base import Selection
from edgewise_coordinator.selection.by_size import by_size
from edgewise_coordinator.selection.fair import fair
from edgewise_coordinator.selection.separated import separated
from edgewise_coordinator.selection.uniform import uniform
from edgewise_wire.errors import ConfigError

SELECTIONS: dict[str, Selection] = {strategy.name: strategy for strategy in (uniform, fair, by_size)}


def selection(name: str, separation: int = 1) -> Selection:
    """Return a strategy by name, with a minimum separation between two rounds of one device.

    Args:
        name: one of `SELECTIONS`, an entry point of the group `edgewise.selection`, or `module:function`. A plain
            function `choose(candidates, count, rng)` will do.
        separation: m of `separated`.

    Raises:
        ConfigError: if there is no such strategy.

    Example:
        >>> selection("fair", separation=5).name
        'fair, at most once in 5 rounds'
    """
    found = find("selection", name, SELECTIONS)
    if not isinstance(found, Selection):
        if not callable(found):
            raise ConfigError(f"selection {name!r}: expected a Selection or a function, got {type(found).__name__}")
        found = Selection(name, found)
    return separated(separation, found)
