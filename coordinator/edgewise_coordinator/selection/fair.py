"""Fair selection: whoever has waited longest comes first, so that over the rounds all take part equally often."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgewise_coordinator.selection.base import Candidate, Selection


def choose(candidates: Sequence[Candidate], count: int, rng: np.random.Generator) -> list[str]:
    """Return the `count` devices that were selected least recently, never before all others; ties at random.

    Example:
        >>> waiting = [Candidate("a", last_round=3), Candidate("b", last_round=1), Candidate("c", last_round=2)]
        >>> choose(waiting, 2, np.random.default_rng(0))
        ['b', 'c']
    """
    shuffled = [candidates[int(i)] for i in rng.permutation(len(candidates))]
    shuffled.sort(key=lambda c: c.last_round)  # stable: equals stay shuffled
    return sorted(c.device for c in shuffled[:count])


fair = Selection("fair", choose)
