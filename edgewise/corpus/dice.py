"""Chances that come out the same on every Python: a Mersenne Twister's numbers, products, comparisons, plain sums."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from itertools import accumulate


class Dice:
    """Chances drawn from (seed, name); two names never share their luck."""

    def __init__(self, seed: int, name: str) -> None:
        digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
        self._random = random.Random(int.from_bytes(digest, "big")).random  # noqa: S311 - invented text, no secret

    def part(self, power: int = 1) -> float:
        """Return a number of [0, 1); a higher power makes small ones likelier (the average is 1 / (power + 1))."""
        value = first = self._random()
        for _ in range(power - 1):
            value *= first
        return value

    def chance(self, probability: float) -> bool:
        """Return True as often as `probability` says."""
        return self._random() < probability

    def below(self, count: int) -> int:
        """Return a whole number from 0 to `count - 1`, each as likely."""
        return int(self._random() * count)

    def weighted(self, totals: Sequence[float]) -> int:
        """Return an index as likely as its weight; `totals` are the running sums of the weights."""
        target = self._random() * totals[-1]
        low, high = 0, len(totals) - 1
        while low < high:
            middle = (low + high) // 2
            if target < totals[middle]:
                high = middle
            else:
                low = middle + 1
        return low

    def some(self, count: int, of: int) -> list[int]:
        """Return `count` different numbers below `of`, in a random order."""
        pool = list(range(of))
        for index in range(min(count, of)):
            other = index + self.below(of - index)
            pool[index], pool[other] = pool[other], pool[index]
        return pool[:count]


def running(weights: Sequence[float]) -> list[float]:
    """Return the running sums that `Dice.weighted` takes; `sum` would round otherwise from Python 3.12 on."""
    return list(accumulate(weights))
