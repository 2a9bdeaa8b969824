"""Noise that adds up: each device's share is Skellam, and so is their sum (Agarwal et al. 2021).

The difference of two Poisson variables of mean v/2 has variance v and is a whole number; sums of such differences have
the same form with the variances added. So noise can be split among devices, exactly, before a modular sum.
"""

from __future__ import annotations

import math
import secrets
from array import array
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from edgewise_wire.crypto.agreement import key_stream
from edgewise_wire.errors import ConfigError
from edgewise_wire.secure.fixed_point import Noise
from edgewise_wire.secure.noise import VARIANCE_MAX

TAIL = 12.0  # standard deviations: what lies beyond has a probability below 2^-100, and is never drawn
TINY = 1e-250


def draw(size: int, variance: float, key: bytes | None = None) -> Noise:
    """Return independent Skellam noise of mean 0, from a cryptographic generator.

    Args:
        size: how many numbers.
        variance: of each.
        key: 32 secret bytes; the operating system's where left out. The same key gives the same noise.

    Raises:
        ConfigError: if the variance is not above 0 and up to 10^12.

    Example:
        >>> draw(100_000, 9.0, bytes(32)).var().round(1)
        9.0
    """
    if not 0 < variance <= VARIANCE_MAX:
        raise ConfigError(f"Skellam noise: expected a variance above 0 and up to {VARIANCE_MAX:g}, got {variance}")
    words = np.frombuffer(key_stream(key or secrets.token_bytes(32), 8 * size), "<u8")
    above = _above(variance)
    # 63 bits choose the magnitude by how many of P(|X| > m) they lie below, the last bit the sign.
    chosen = ((words >> np.uint64(1)).astype(np.float64) + 0.5) * 2.0**-63
    magnitude = len(above) - np.searchsorted(above[::-1], chosen, side="right")
    return np.where(words & np.uint64(1), magnitude, -magnitude).astype(np.int64)


def probabilities(variance: float) -> NDArray[np.float64]:
    """Return P(X = m) for m = 0, 1, 2, …: e^-v I_m(v), by Miller's recurrence from the tail, which is stable.

    Example:
        >>> p = probabilities(2.0)
        >>> round(float(p[0] + 2 * p[1:].sum()), 12)
        1.0
    """
    most = math.ceil(TAIL * math.sqrt(variance)) + 40
    found = array("d", [0.0]) * (most + 2)  # 8 bytes each, where a list has 32: a Pi draws from a million of them
    found[most] = TINY
    for order in range(most, 0, -1):
        found[order - 1] = found[order + 1] + 2 * order / variance * found[order]
        if found[order - 1] > 1e250:
            found = array("d", (value * TINY for value in found))
    values = np.array(found[: most + 1])
    values /= math.fsum(values[:1]) + 2 * math.fsum(values[1:])
    return values


@lru_cache(maxsize=2)
def _above(variance: float) -> NDArray[np.float64]:
    """Return P(|X| > m) for m = 0, 1, 2, …, each summed from the tail so that small ones are right."""
    values = 2 * probabilities(variance)[1:]
    return np.cumsum(values[::-1])[::-1]
