"""Short sequences side by side in one row, so that a step's time goes into words and not into padding.

A graph's shape is fixed: 16 rows of 20 words cost the same whether they are full or not, and 16 real messages leave
half the places empty (`benchmarks/packing.py`). A graph whose manifest says `packs` begins anew at each start mark, so
a row can hold several messages.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterator, Sequence
from typing import TypeAlias

Place: TypeAlias = tuple[int, int, int]
"""The number of an example, and the row and the column of the batch where it begins."""

WINDOW = 32  # examples looked at to fill a batch; 80 to 88 % of the places of real messages (benchmarks/packing.py)


def pack(order: Sequence[int], lengths: Sequence[int], rows: int, columns: int) -> Iterator[list[Place]]:
    """Yield batches that hold every example of `order` once.

    The first of the next `WINDOW` examples that fits goes into the fullest row that has room, until none of them fits;
    the others come first in the next batch. So batches are a function of the order alone, and as random as it is.

    Args:
        order: numbers of examples.
        lengths: of every example, by its number; 1 to `columns`.
        rows: B, the rows of a batch.
        columns: T, the places of a row.

    Example:
        >>> [*pack([0, 1, 2], [3, 4, 1], rows=1, columns=4)]
        [[(0, 0, 0), (2, 0, 3)], [(1, 0, 0)]]
    """
    coming, waiting = iter(order), deque[int]()
    while True:
        batch: list[Place] = []
        free = [(columns, row) for row in range(rows)]  # by room, the fullest row first
        while True:
            while len(waiting) < WINDOW and (number := next(coming, None)) is not None:
                waiting.append(number)
            found = next((at for at, number in enumerate(waiting) if lengths[number] <= free[-1][0]), None)
            if found is None:
                break
            number = waiting[found]
            del waiting[found]
            room, row = free.pop(bisect_left(free, (lengths[number], 0)))
            batch.append((number, row, columns - room))
            insort(free, (room - lengths[number], row))
        if not batch:
            return
        yield batch
