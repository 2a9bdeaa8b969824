"""Selection by data size: a device's chance of being in a round is in proportion to its examples.

It trades fairness for faster progress where devices differ much. Note that FedAvg weighs a report by its examples as
well: with `--weighting uniform` the expected update is that of the pooled examples, as long as nobody has more than
one `count`-th of them (Horvitz and Thompson 1952, §3: what is drawn with a chance in proportion to its size is summed
up without bias by weights that are all alike).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgewise_coordinator.selection.base import Candidate, Selection, names_of

Numbers: TypeAlias = NDArray[np.int64]


def choose(candidates: Sequence[Candidate], count: int, rng: np.random.Generator) -> list[str]:
    """Return `count` devices, each drawn with the chance `count` · its examples / all examples.

    A device for which that is 1 or more is certain, and the others share the places that are left. Drawing devices one
    after the other would not do: those with most of the examples would be drawn less often than that, for none is
    drawn twice. Devices without examples come last.

    Example:
        >>> choose([Candidate("a", 0), Candidate("b", 7)], 1, np.random.default_rng(0))
        ['b']
    """
    sizes = np.array([c.examples for c in candidates], np.int64)
    order = rng.permutation(len(sizes))
    holding, without = order[sizes[order] > 0], order[sizes[order] == 0]
    places = holding if len(holding) <= count else _in_proportion(holding, sizes[holding], count, rng)
    chosen = [*places.tolist(), *without[: count - len(places)].tolist()]
    return sorted(names_of(candidates, chosen))


def _in_proportion(who: Numbers, sizes: Numbers, count: int, rng: np.random.Generator) -> Numbers:
    """Return `count` of `who`, which are in random order: systematic sampling (Madow 1949).

    Sizes are laid end to end, and every point of a grid with a random beginning draws whom it falls on. All of it is
    in whole numbers: the chances are exact, and nobody is narrower than a step of the grid and yet drawn twice.
    """
    certain = np.zeros(len(sizes), bool)
    left, total = count, int(sizes.sum())
    while (new := ~certain & (sizes >= -(-total // left))).any():  # without them others may become certain
        certain |= new
        left, total = count - int(certain.sum()), int(sizes[~certain].sum())
    number = np.arange(left)
    step, rest = divmod(total, left)
    points = number * step + (number * rest + int(rng.integers(total))) // left  # ⌊(u + number · total) / left⌋
    drawn = np.searchsorted(np.cumsum(sizes[~certain]), points, side="right")
    return np.concatenate([who[certain], who[~certain][drawn]])


by_size = Selection("by-size", choose)
