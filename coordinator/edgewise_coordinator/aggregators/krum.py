"""Krum and Multi-Krum (Blanchard et al. 2017, "Machine Learning with Adversaries", §3 and §4)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgewise_coordinator.aggregators.base import Aggregator
from edgewise_coordinator.aggregators.mean import StreamingMean
from edgewise_coordinator.aggregators.order import SideBySide, blocks
from edgewise_coordinator.spooled import Spooled
from edgewise_wire.errors import ConfigError, InputError
from edgewise_wire.weights import Flat


def krum(attackers: int = 1, keep: int = 1) -> Aggregator:
    """Return the mean of the `keep` updates that lie closest to their neighbours.

    Update i scores Σ ‖uᵢ − uⱼ‖² over its n − f − 2 nearest neighbours j; those with the least scores are kept, with
    equal ones in the order of their devices' names.

    Args:
        attackers: f, how many of a round's reports may be hostile; it needs n ≥ 2f + 3 reports.
        keep: m of Multi-Krum, 1 for Krum; at most n − f of n are kept, whatever it says.

    Raises:
        ConfigError: if a number is out of its range.
    """
    if attackers < 0 or keep < 1:
        raise ConfigError(
            f"krum: expected attackers of at least 0 and updates to keep of at least 1, got {attackers}, {keep}"
        )

    def combine(updates: Sequence[Spooled]) -> Flat:
        if len(updates) < 2 * attackers + 3:
            least = 2 * attackers + 3
            raise InputError(
                f"krum: expected at least {least} reports to stand {attackers} attackers, got {len(updates)}"
            )
        scores = krum_scores(squared_distances(updates), attackers)
        best = np.argsort(scores, kind="stable")[: min(keep, len(updates) - attackers)]
        chosen = StreamingMean(updates[0].size)
        for i in best:
            chosen.add(Spooled(updates[i].path, updates[i].size, 1.0, updates[i].factor))
        return chosen.result()

    return Aggregator("krum", lambda size: SideBySide(size, combine), least=2 * attackers + 3, robust=True)


def krum_scores(distances: NDArray[np.float64], attackers: int) -> NDArray[np.float64]:
    """Return each update's score from squared distances float64[n, n]: the sum over its n - f - 2 nearest others."""
    n = len(distances)
    others = np.sort(distances + np.diag(np.full(n, np.inf)), axis=1)
    scores: NDArray[np.float64] = others[:, : n - attackers - 2].sum(axis=1)
    return scores


def squared_distances(updates: Sequence[Spooled]) -> NDArray[np.float64]:
    """Return ‖uᵢ − uⱼ‖², float64[n, n].

    ‖a − b‖² = aa + bb − 2ab cancels badly where updates are alike, so each block is centred first, which changes no
    distance.
    """
    n = len(updates)
    products = np.zeros((n, n))
    for _, values in blocks(updates):
        wide = values.astype(np.float64)
        wide -= wide.mean(axis=0)
        products += wide @ wide.T
    own = np.diag(products)
    return np.maximum(own[:, None] + own[None, :] - 2 * products, 0.0)
