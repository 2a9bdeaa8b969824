"""Work handed out in pieces that become smaller, so that all workers end at the same time."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from typing import Generic, TypeVar

T = TypeVar("T")

MOST_SECONDS = 0.05  # the longest piece: what is lost with a worker that dies, and the most that one may be behind
LEAST_SECONDS = 0.001  # the shortest: handing one out and hearing of it takes about 0.1 ms
UNKNOWN = 4  # pieces for each worker, at least, while nobody knows how long an item takes


class Pieces(Generic[T]):
    """What is still to be done, given out piece by piece: each a fair share of half of what is left.

    Guided self-scheduling (Polychronopoulos and Kuck 1987, §III): few pieces in all, and the last ones, which decide
    how long somebody waits for somebody else, are the smallest. Pieces of one size leave a worker behind by a whole one
    wherever their number does not divide evenly.

    Args:
        items: to be done, in this order.
        workers: that share them.
        seconds: that an item took lately; `None` where it is not known.

    Example:
        >>> pieces = Pieces(range(200), 2, 1e-4)
        >>> [len(pieces.take()) for _ in range(8)], len(pieces)
        ([50, 38, 28, 21, 16, 12, 10, 10], 15)
    """

    def __init__(self, items: Sequence[T], workers: int, seconds: float | None = None) -> None:
        self._items = items
        self._workers = workers
        self._at = 0
        self._again: deque[list[T]] = deque()
        if seconds is None:
            self._least, self._most = 1, math.ceil(len(items) / workers / UNKNOWN)
        else:
            self._least, self._most = (round(bound / max(seconds, 1e-9)) for bound in (LEAST_SECONDS, MOST_SECONDS))

    def __len__(self) -> int:
        """Return how many items are still to be given out."""
        return len(self._items) - self._at + sum(map(len, self._again))

    @property
    def ending(self) -> bool:
        """Whether there is not more left than a last piece for each worker."""
        return len(self) <= self._workers * max(1, self._least)

    def take(self) -> list[T]:
        """Return the next piece. Raises IndexError if there is none."""
        if self._again:
            return self._again.popleft()
        left = len(self._items) - self._at
        if not left:
            raise IndexError("no piece is left")
        size = max(1, min(self._most, max(self._least, math.ceil(left / (2 * self._workers)))))
        piece = list(self._items[self._at : self._at + size])
        self._at += len(piece)
        return piece

    def give_back(self, pieces: Sequence[list[T]]) -> None:
        """Have pieces done again, of a worker that died over them: the very same lists, before anything else."""
        self._again.extend(pieces)
