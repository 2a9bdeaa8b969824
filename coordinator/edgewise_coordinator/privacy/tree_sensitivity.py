"""How much one device can move the nodes of a binary tree over rounds (Kairouz et al. 2021, appendix D.2).

A round is a leaf; a node is the sum of the leaves below it. A device that takes part in several rounds moves each node
by the number of them below it, so what counts is the largest sum of squares, over all nodes, that any admissible choice
of rounds can reach.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from edgewise_wire.errors import ConfigError

Table = NDArray[np.float64]
"""`table[n, a, z]`: the most that n participations reach in one subtree, none in its first a or its last z leaves."""

IMPOSSIBLE = -np.inf
MANY = 128  # participations; beyond, the exact search takes minutes and its bound is within a few per cent


def tree_sensitivity_squared(trees: Sequence[int], separation: int, participations: int | None = None) -> float:
    """Return the squared L2 sensitivity of all nodes together, for reports of norm 1.

    Args:
        trees: the sizes of the complete binary trees over consecutive rounds, each a power of two: `subtrees(rounds)`.
        separation: a device takes part in rounds at least so far apart; 1 is every round. (In the accounting published
            with Gboard's models `min_separation` counts the rounds in between: one less.)
        participations: the most rounds that one device takes part in; `None` for as many as fit.

    Exact up to 128 participations and for a separation of 1; else a bound from above.

    Raises:
        ConfigError: if a number is below 1.

    Example:
        >>> tree_sensitivity_squared([4], separation=4)  # one leaf, its parent and the root
        3.0
        >>> tree_sensitivity_squared([4], separation=1)  # 4 · 1² + 2 · 2² + 4²
        28.0
    """
    if separation < 1 or (participations is not None and participations < 1):
        raise ConfigError(f"sensitivity of a tree: expected at least 1, got {separation} and {participations}")
    rounds = sum(trees)
    separation = min(separation, rounds)
    fit = -(-rounds // separation)
    most = fit if participations is None else min(fit, participations)
    if most > MANY or (separation == 1 and most == fit):
        return _one_in_each_block(trees, 1 << (separation.bit_length() - 1))
    # best[n, z]: the most that n participations reach so far, none in the last z rounds.
    best = np.full((most + 1, separation), IMPOSSIBLE)
    best[0] = 0.0
    for size in trees:
        best = _append(best, _table(size.bit_length() - 1, separation, participations or MANY), size, separation)
    return float(best.max())


def _one_in_each_block(trees: Sequence[int], block: int) -> float:
    """Return what one participation in each block of 2^k rounds of each tree reaches: a bound for this separation."""
    total = 0.0
    for size in trees:
        for level in range(size.bit_length()):
            nodes, leaves = size >> level, 1 << level
            total += min(nodes, -(-size // block)) if leaves <= block else nodes * (leaves // block) ** 2
    return total


def subtrees(rounds: int) -> list[int]:
    """Return the complete binary trees over `rounds` leaves, from left to right.

    Example:
        >>> subtrees(13)
        [8, 4, 1]
    """
    return [1 << level for level in range(rounds.bit_length() - 1, -1, -1) if rounds >> level & 1]


def _append(best: Table, table: Table, size: int, separation: int) -> Table:
    """Return `best` with one more tree on the right."""
    most, m = len(best) - 1, separation
    new = np.full_like(best, IMPOSSIBLE)
    # No participation in the new tree: the free rounds at the end grow by its size.
    free = np.maximum(np.arange(m) - size, 0)
    new = np.maximum(new, best[:, free])
    for right in range(1, min(most, len(table) - 1) + 1):
        width = table.shape[1]
        # With z rounds free on the left, the first m − 1 − z of the right tree must be free.
        first = np.minimum(m - 1 - np.arange(m), width - 1)
        last = np.minimum(np.arange(m), width - 1)
        gain = table[right][first][:, last]
        for left in range(most - right + 1):
            reach = (best[left][:, None] + gain).max(axis=0)
            new[left + right] = np.maximum(new[left + right], reach)
    return new


@lru_cache(maxsize=64)
def _table(level: int, separation: int, most: int) -> Table:
    """Return the table of a complete tree of 2^level leaves; a and z run from 0 to min(separation, 2^level)."""
    size, m = 1 << level, separation
    width = min(m, size) + 1
    fit = min(most, -(-size // m))
    table = np.full((fit + 1, width, width), IMPOSSIBLE)
    table[0] = 0.0
    if fit == 0:
        return table
    a, z = np.arange(width)[:, None], np.arange(width)[None, :]
    table[1] = np.where(a + z < size, float(level + 1), IMPOSSIBLE)
    if fit == 1:
        return table
    half = _table(level - 1, separation, most)
    for n in range(2, fit + 1):
        table[n] = n * n + _best_split(half, n, size // 2, width, m)
    return table


def _best_split(half: Table, n: int, leaves: int, width: int, m: int) -> Table:
    """Return the most that n ≥ 2 participations reach below a node whose children are two equal trees."""
    edge = half.shape[1] - 1
    best = np.full((width, width), IMPOSSIBLE)
    at = np.arange(width)
    inside = np.minimum(at, edge)
    outside = np.minimum(np.maximum(at - leaves, 0), edge)
    for left in range(max(0, n - len(half) + 1), min(n, len(half) - 1) + 1):
        right = n - left
        if right == 0:
            both = half[left][inside][:, outside]
        elif left == 0:
            both = half[right][outside][:, inside]
        else:
            gap = np.arange(m)
            ends = half[left][:, np.minimum(gap, edge)][inside]  # [a, e]: the last e leaves of the left one free
            starts = half[right][np.minimum(m - 1 - gap, edge)][:, inside]  # [e, z]: so many of the right one's first
            both = _max_plus(ends, starts)
        best = np.maximum(best, both)
    return best


def _max_plus(ends: Table, starts: Table) -> Table:
    """Return out[a, z] = max over e of ends[a, e] + starts[e, z], where `ends` falls with e and `starts` rises.

    So only the last e of each value of `ends` matters, and there are few values: they are sums of squares.
    """
    out = np.full((len(ends), starts.shape[1]), IMPOSSIBLE)
    for value in np.unique(ends[np.isfinite(ends)]):
        last = np.count_nonzero(ends >= value, axis=1) - 1
        rows = np.flatnonzero(last >= 0)
        out[rows] = np.maximum(out[rows], value + starts[last[rows]])
    return out
