"""Who shares a mask with whom: a sparse graph that every device draws for itself (Bell et al. 2020, §3).

In Bonawitz et al. 2017 every two devices share a mask, which costs each device a mask per other one. Here they stand on
a ring, in an order that a public seed shuffles, and each knows the `degree`/2 before and the `degree`/2 behind it (the
Harary graph). A small cohort is a complete graph all the same: `plan` finds no smaller degree.

The seed is the hash of the roster, in which every key stands, so that no coordinator chooses it freely. One that
controls devices may try keys for them until the graph suits it; 2^g tries cost g of the `SIGMA` bits.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from functools import cache

from edgewise_wire.errors import ConfigError
from edgewise_wire.messages import COHORT_MAX

SIGMA = 40  # bits: the graph betrays somebody with a probability of at most 2^-40 (Bell et al. 2020, §3.3)
ETA = 20  # bits: a round of that many drop-outs fails with a probability of at most 2^-20; it is then begun anew
CORRUPT = 0.05  # of the roster may be in league with the coordinator
DROPOUT = 0.25  # of the roster may fall silent after it has shared its secrets


@dataclass(frozen=True, slots=True)
class Plan:
    """What a roster of `size` devices needs.

    Attributes:
        size: devices in the roster.
        degree: with how many others each shares a mask and its secrets; even, or size − 1.
        threshold: how many shares make a secret. A device holds one of its own secret, too.
        quorum: how many must sign the same list of survivors; so many survivors are needed.
    """

    size: int
    degree: int
    threshold: int
    quorum: int

    @property
    def complete(self) -> bool:
        """Whether everybody is everybody's neighbour."""
        return self.degree == self.size - 1


class Graph:
    """The graph of one roster: `neighbours(i)` in ascending order.

    Args:
        seed: 32 bytes that all know.
        size: how many devices.
        degree: with how many others each one is linked.

    Example:
        >>> graph = Graph(bytes(32), 10, 4)
        >>> all(i in graph.neighbours(j) for i in range(10) for j in graph.neighbours(i))
        True
    """

    def __init__(self, seed: bytes, size: int, degree: int) -> None:
        self.size, self.degree = size, degree
        self._seed = seed
        self._order = sorted(range(size), key=lambda i: hashlib.sha256(seed + i.to_bytes(4, "big")).digest())
        self._place = {device: place for place, device in enumerate(self._order)}

    def neighbours(self, device: int) -> tuple[int, ...]:
        """Return with whom a device shares a mask."""
        if self.degree >= self.size - 1:
            return tuple(i for i in range(self.size) if i != device)
        at, half = self._place[device], self.degree // 2
        near = [*range(at - half, at), *range(at + 1, at + half + 1)]
        return tuple(sorted(self._order[place % self.size] for place in near))

    def holders(self, device: int) -> tuple[int, ...]:
        """Return who holds a share of a device's secrets: its neighbours and itself."""
        return tuple(sorted((*self.neighbours(device), device)))


@cache
def plan(size: int, *, dropout: float = DROPOUT, corrupt: float = CORRUPT, sigma: int = SIGMA, eta: int = ETA) -> Plan:
    """Return the sparsest graph that is safe for a roster, and its thresholds.

    Args:
        size: devices in the roster.
        dropout: the share of them that may fall silent at any time, at random.
        corrupt: the share of them that may work for the coordinator.
        sigma: bits of statistical security.
        eta: bits of certainty that so many drop-outs do not cost the round.

    Raises:
        ConfigError: if no graph stands both, or a number is out of its range.

    Example:
        >>> plan(8), plan(1024).degree < 400
        (Plan(size=8, degree=7, threshold=5, quorum=5), True)
    """
    if not 2 <= size <= COHORT_MAX:
        raise ConfigError(f"secure aggregation: expected a cohort of 2 to {COHORT_MAX} devices, got {size}")
    if not (0 <= dropout < 1 and 0 <= corrupt < 1):
        raise ConfigError(f"secure aggregation: drop-outs {dropout} and corrupt {corrupt}: expected shares from 0 to 1")
    bad, quorum = int(corrupt * size), least_quorum(size, corrupt)
    silent = int(dropout * size)
    if quorum > size - silent:
        raise ConfigError(
            f"secure aggregation of {size} devices: {silent} may drop out and {bad} be corrupt, but {quorum} must agree"
        )
    low, high = 1, (size - 1) // 2  # half degrees; the conditions are monotone but for rounding
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if _stands(size, 2 * middle, bad, silent, sigma, eta) else (middle + 1, high)
    for half in range(low, (size - 1) // 2 + 1):
        if 2 * half < size - 1 and _stands(size, 2 * half, bad, silent, sigma, eta):
            return Plan(size, 2 * half, _least_threshold(size, 2 * half, bad, sigma), quorum)
    return Plan(size, size - 1, quorum, quorum)


def least_quorum(size: int, corrupt: float = CORRUPT) -> int:
    """Return how many signatures make two lists of survivors impossible.

    Two quorums of more than (size + corrupt)/2 share more than the corrupt ones, so an honest device, and that signs
    one list only.
    """
    return (size + int(corrupt * size)) // 2 + 1


def unsafe(made: Plan, *, corrupt: float = CORRUPT, sigma: int = SIGMA) -> str | None:
    """Return why a device must not give its secrets to such a graph, or `None`.

    What the numbers protect from, whatever the coordinator does, with a probability of at least 1 − 2^-sigma:

    - Two lists of survivors: `quorum` (see `least_quorum`).
    - A sum of fewer than all honest survivors. Such a part of the ring ends in a gap of degree/2 places without an
      honest survivor. The device at its edge has at most degree/2 honest neighbours left, itself, and the corrupt ones
      in the gap; `threshold` is more than that, so its own mask is never taken off, and the part's sum stays hidden.
    - Both secrets of a device: shares of one come from honest holders, of the other only from corrupt ones, fewer than
      `threshold`.
    """
    size, bad = made.size, int(corrupt * made.size)
    if made.quorum < least_quorum(size, corrupt) or made.quorum > size:
        return f"a quorum of {made.quorum} of {size} devices does not keep a coordinator from two lists of survivors"
    if made.complete:
        least = max(2, bad + 1, size // 2 + 1)
    elif 2 <= made.degree < size - 1 and made.degree % 2 == 0:
        least = _least_threshold(size, made.degree, bad, sigma)
    else:
        return f"a graph of degree {made.degree} over {size} devices is none"
    if not least <= made.threshold <= made.degree + 1:
        return f"{made.threshold} shares of {made.degree + 1} open a secret; expected at least {least}"
    return None


def _stands(size: int, degree: int, bad: int, silent: int, sigma: int, eta: int) -> bool:
    """Return whether a threshold exists that keeps secrets and yet stands the drop-outs."""
    threshold = _least_threshold(size, degree, bad, sigma)
    if threshold > degree:
        return False
    # A device that is gone itself needs `threshold` neighbours that are not.
    fails = _log2_sum(_terms(size - 1, size - 1 - silent, degree, range(threshold)))
    return fails + math.log2(size) <= -eta


def _least_threshold(size: int, degree: int, bad: int, sigma: int) -> int:
    """Return one more than the shares that the edge of a gap can come to."""
    return degree // 2 + 1 + _most_corrupt(size, degree // 2, bad, sigma) + 1


@cache
def _most_corrupt(size: int, window: int, bad: int, sigma: int) -> int:
    """Return how many of the corrupt stand in any `window` neighbouring places, but for a probability of 2^-sigma."""
    most = min(window, bad)
    for found in range(most, -1, -1):
        tail = _log2_sum(_terms(size, bad, window, range(found, most + 1)))
        if tail + math.log2(size) > -sigma:
            return found
    return 0


def _terms(size: int, marked: int, drawn: int, hits: range) -> list[float]:
    """Return log2 of the hypergeometric probabilities of so many marked ones among those drawn."""
    whole = _log2_choose(size, drawn)
    return [
        _log2_choose(marked, hit) + _log2_choose(size - marked, drawn - hit) - whole
        for hit in hits
        if 0 <= hit <= marked and 0 <= drawn - hit <= size - marked
    ]


def _log2_choose(n: int, k: int) -> float:
    return (math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)) / math.log(2)


def _log2_sum(logs: list[float]) -> float:
    if not logs:
        return -math.inf
    top = max(logs)
    return top + math.log2(sum(2.0 ** (each - top) for each in logs))
