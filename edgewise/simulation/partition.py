"""Ways to deal one data set out to devices: alike, or unlike as real ones are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgewise_wire.errors import ConfigError

Shares = list[NDArray[np.int64]]
"""The rows of each device, sorted; every row is with one device."""


def evenly(rows: int, devices: int, seed: int = 0) -> Shares:
    """Return rows dealt out at random, as many to each device as to any other, or one fewer.

    Raises:
        ConfigError: if there are more devices than rows.
    """
    _check(rows, devices)
    order = np.random.default_rng(seed).permutation(rows)
    return [np.sort(part) for part in np.array_split(order, devices)]


def unevenly(rows: int, shares: Sequence[float], seed: int = 0) -> Shares:
    """Return rows dealt out at random in given proportions.

    Example:
        >>> [len(part) for part in unevenly(100, [3, 1])]
        [75, 25]
    """
    _check(rows, len(shares))
    order = np.random.default_rng(seed).permutation(rows)
    ends = np.round(np.cumsum(shares) / np.sum(shares) * rows).astype(np.int64)[:-1]
    return [np.sort(part) for part in np.split(order, ends)]


def by_label(labels: NDArray[np.int64], devices: int, alpha: float = 0.5, seed: int = 0) -> Shares:
    """Return rows dealt out so that each device has labels of its own.

    Each label's rows go to devices in proportions drawn from Dir(α): the smaller α, the fewer labels a device has (Hsu
    et al. 2019, "Measuring the Effects of Non-Identical Data Distribution", §3, with the label fixed instead of the
    device). A device may get nothing.

    Args:
        labels: int[rows].
        devices: how many.
        alpha: α, positive.
        seed: of the draw.

    Raises:
        ConfigError: if α is not positive or there are more devices than rows.
    """
    _check(len(labels), devices)
    if not alpha > 0:
        raise ConfigError(f"alpha: expected a positive number, got {alpha}")
    rng = np.random.default_rng(seed)
    found: list[list[int]] = [[] for _ in range(devices)]
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        ends = np.round(np.cumsum(rng.dirichlet(np.full(devices, alpha))) * len(rows)).astype(np.int64)[:-1]
        for device, part in enumerate(np.split(rows, ends)):
            found[device] += part.tolist()
    return [np.sort(np.array(own, np.int64)) for own in found]


def _check(rows: int, devices: int) -> None:
    if not 1 <= devices <= rows:
        raise ConfigError(f"devices: expected 1 to {rows}, as many as there are rows, got {devices}")
