"""Selection by data size: a device with twice the examples is twice as likely to be drawn first.

It trades fairness for faster progress where devices differ much. Note that FedAvg weighs a report by its examples as
well: with `--weighting uniform` the expected update is again that of the pooled examples (Li et al. 2020, Scheme I).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgewise_coordinator.selection.base import Candidate, Selection


def choose(candidates: Sequence[Candidate], count: int, rng: np.random.Generator) -> list[str]:
    """Return `count` devices drawn one after the other, each with a probability proportional to its examples.

    Drawing an Exp(1)/size key for each device and taking the smallest is the same as drawing them in turn (Efraimidis
    & Spirakis 2006). Devices without examples come last.

    Example:
        >>> choose([Candidate("a", 0), Candidate("b", 7)], 1, np.random.default_rng(0))
        ['b']
    """
    sizes = np.array([c.examples for c in candidates], np.float64)
    waits = rng.exponential(size=len(candidates))
    keys = np.divide(waits, sizes, out=np.full(len(candidates), np.inf), where=sizes > 0)
    order = np.argsort(keys, kind="stable")[:count]
    return sorted(candidates[int(i)].device for i in order)


by_size = Selection("by-size", choose)
