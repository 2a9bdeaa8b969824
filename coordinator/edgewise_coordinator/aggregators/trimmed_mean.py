"""The coordinate-wise trimmed mean (Yin et al. 2018, "Byzantine-Robust Distributed Learning", Definition 2)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from edgewise_coordinator.aggregators.base import Aggregator
from edgewise_coordinator.aggregators.order import SideBySide, coordinate_wise
from edgewise_wire.errors import ConfigError
from edgewise_wire.weights import Flat


def trimmed_mean(trim: float = 0.1) -> Aggregator:
    """Return the mean of what is left of each coordinate when its largest and smallest values are gone.

    Args:
        trim: β, the share taken away at each end, 0 to 0.5 (not included); of n reports ⌈βn⌉, so that a small cohort
            loses at least one at each end. It withstands that many attackers.

    Raises:
        ConfigError: if the share is out of its range.
    """
    if not 0 <= trim < 0.5:
        raise ConfigError(f"trimmed share: expected 0 to 0.5 (not included), got {trim}")

    def combine(values: NDArray[np.float32]) -> Flat:
        devices = len(values)
        cut = min(math.ceil(trim * devices - 1e-9), (devices - 1) // 2)
        kept = np.sort(values, axis=0)[cut : devices - cut]
        out: Flat = kept.mean(axis=0, dtype=np.float64).astype(np.float32)
        return out

    return Aggregator("trimmed-mean", lambda size: SideBySide(size, coordinate_wise(combine)), robust=True)
