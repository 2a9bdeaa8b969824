"""Flat clipping: no update of a norm above the clipping norm (McMahan et al. 2018, §3; Sun et al. 2019, §4.2)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from edgewise_wire.errors import ConfigError, InputError, ProtocolError
from edgewise_wire.weights import Flat

ROWS, LANES = 32, 1024  # 256 KiB of float64 at a time: stays in a core's L2 cache
SLACK = 1e-3  # a norm is a sum of a million squares; both sides round it in their own way


class Clip(NamedTuple):
    """`device(update) -> update` shrinks it to the clipping norm; `coordinator(update, growth) -> update` checks that.

    `growth` is the codec's between the two: how far it may stretch what an honest device sends.
    """

    name: str
    norm: float
    device: Callable[[Flat], Flat]
    coordinator: Callable[[Flat, float], Flat]


def clip(norm: float) -> Clip:
    """Return the pair for a clipping norm.

    Law: what the coordinator's half returns has a norm of at most `norm`, whatever a device sent. An update above
    `norm` · growth was not clipped, and is refused; one between the two was stretched by its codec's rounding, and is
    shrunk to `norm`.

    Raises:
        ConfigError: if the norm is not a positive number.

    Example:
        >>> pair = clip(1.0)
        >>> pair.device(np.array([3, 4], "f4")).round(4)
        array([0.6, 0.8], dtype=float32)
        >>> pair.coordinator(np.array([0.9, 1.2], "f4"), 2.0).round(4)
        array([0.6, 0.8], dtype=float32)
    """
    if not 0 < norm < math.inf:
        raise ConfigError(f"clipping norm: expected a positive number, got {norm}")

    def device(update: Flat) -> Flat:
        if not math.isfinite(_norm(update)):
            raise InputError("update: expected finite values, got NaN or infinity")
        return _shrunk(update, norm)

    def coordinator(update: Flat, growth: float) -> Flat:
        found = _norm(update)
        if not found <= norm * growth * (1 + SLACK):
            raise ProtocolError(
                f"update: expected an L2 norm of at most {norm:g} (clipping norm) × {growth:.4g} (its codec's), "
                f"got {found:g}"
            )
        return _shrunk(update, norm)

    return Clip(f"clip-{norm:g}", norm, device, coordinator)


def within(update: Flat, norm: float) -> bool:
    """Return whether clipping to this norm would leave an update as it is.

    Example:
        >>> within(np.array([3, 4], "f4"), 5.0)
        True
    """
    return _norm(update) <= norm


def _norm(update: Flat) -> float:
    """Return the L2 norm, the same on every machine: sums in an order that no library chooses."""
    lanes = np.zeros(LANES)
    for start in range(0, len(update), ROWS * LANES):
        wide = update[start : start + ROWS * LANES].astype(np.float64)
        wide *= wide
        whole = len(wide) // LANES * LANES
        lanes += np.add.reduce(wide[:whole].reshape(-1, LANES), axis=0)
        lanes[: len(wide) - whole] += wide[whole:]
    return math.sqrt(math.fsum(lanes))


def _shrunk(update: Flat, norm: float) -> Flat:
    found = _norm(update)
    # Rounded down, so that the product's norm is not above the limit by a float32's last bit.
    return update if found <= norm else update * np.nextafter(np.float32(norm / found), np.float32(0))
