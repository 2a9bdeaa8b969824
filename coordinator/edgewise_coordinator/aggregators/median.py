"""The coordinate-wise median (Yin et al. 2018, "Byzantine-Robust Distributed Learning", Definition 1)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgewise_coordinator.aggregators.base import Aggregator
from edgewise_coordinator.aggregators.order import SideBySide, coordinate_wise
from edgewise_wire.weights import Flat


def median() -> Aggregator:
    """Return the median of each coordinate; with an even number of reports the mean of the middle two."""

    def combine(values: NDArray[np.float32]) -> Flat:
        middle = (len(values) - 1) // 2, len(values) // 2
        ordered = np.partition(values, middle, axis=0)
        out: Flat = ordered[list(middle)].mean(axis=0, dtype=np.float64).astype(np.float32)
        return out

    return Aggregator("median", lambda size: SideBySide(size, coordinate_wise(combine)), robust=True)
