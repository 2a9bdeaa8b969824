"""The weighted mean, folded in as updates arrive (McMahan et al. 2017, Algorithm 1): O(model) memory."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgewise_coordinator.aggregators.base import Aggregator
from edgewise_coordinator.exact_sum import ExactSum
from edgewise_coordinator.spooled import Spooled
from edgewise_wire.weights import Flat


class StreamingMean:
    """Σ weight·factor·update / Σ weight, in an `ExactSum`: 8 bytes a parameter, whatever the number of updates."""

    def __init__(self, size: int) -> None:
        self._sum = ExactSum(size)

    @property
    def terms(self) -> int:
        """How many updates were added."""
        return self._sum.terms

    def check(self, piece: Flat, weight: float, at: int = 0) -> None:
        """Check a piece. Raises InputError if it is not finite, too large or too long."""
        self._sum.check(piece, weight, at)

    def add(self, update: Spooled) -> None:
        """Fold an update in."""
        self._sum.add_blocks(update.pieces(), update.weight, update.factor)

    def merge(self, bits: NDArray[np.int64], terms: int, weight: float) -> None:
        """Add what another process has summed, as `ExactSum.merge` does."""
        self._sum.merge(bits, terms, weight)

    def units(self) -> NDArray[np.int64]:
        """Return the sum in whole multiples of its grid, as `ExactSum.units` does."""
        return self._sum.units()

    def result(self) -> Flat:
        """Return the mean."""
        return self._sum.mean()


def mean() -> Aggregator:
    """Return the weighted mean.

    Example:
        >>> mean().start(1_000_000).terms
        0
    """
    return Aggregator("mean", StreamingMean)
