"""The ranges that algorithms' settings must lie in."""

from __future__ import annotations

import math

from edgewise_wire.errors import ConfigError


def positive(name: str, value: float) -> float:
    """Return `value` if it is a positive finite number. Raises ConfigError if not."""
    if not 0 < value < math.inf:
        raise ConfigError(f"{name}: expected a positive number, got {value}")
    return value


def share(name: str, value: float) -> float:
    """Return `value` if it lies in [0, 1). Raises ConfigError if not."""
    if not 0 <= value < 1:
        raise ConfigError(f"{name}: expected 0 to 1 (not included), got {value}")
    return value
