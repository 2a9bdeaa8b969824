"""Uniform selection without replacement (McMahan et al. 2017, Algorithm 1: a random set of clients)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgewise_coordinator.selection.base import Candidate, Selection, names_of


def choose(candidates: Sequence[Candidate], count: int, rng: np.random.Generator) -> list[str]:
    """Return `count` devices drawn uniformly without replacement (all of them if there are fewer).

    Example:
        >>> choose([Candidate("a"), Candidate("b")], 5, np.random.default_rng(0))
        ['a', 'b']
    """
    if len(candidates) <= count:
        return names_of(candidates, range(len(candidates)))
    chosen = rng.choice(len(candidates), size=count, replace=False)
    return sorted(names_of(candidates, chosen.tolist()))


uniform = Selection("uniform", choose)
