"""Aggregators that need all updates side by side: they remember where each lies, and read them block by block.

Memory: one block of every update, `BLOCK_BYTES` in all, whatever the model and however many devices. Each device has
one voice: weights are what devices claim of themselves, and a robust rule must not believe them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from edgewise_coordinator.aggregators.base import check_finite
from edgewise_coordinator.spooled import Spooled
from edgewise_wire.errors import InputError
from edgewise_wire.weights import Flat

BLOCK_BYTES = 32 << 20
LEAST_BLOCK = 1024  # elements: reads of 4 KiB, a page

Combine = Callable[[NDArray[np.float32]], Flat]
"""`combine(values) -> aggregate`: float32[devices, block], one row a device, to float32[block]."""


class SideBySide:
    """Keeps the updates of a round by their files' names, and combines them once at the end.

    `combine(updates) -> float32[size]` sees them sorted by name, so the order of arrival cannot matter.
    """

    def __init__(self, size: int, combine: Callable[[Sequence[Spooled]], Flat]) -> None:
        self._size = size
        self._combine = combine
        self._updates: dict[str, Spooled] = {}

    @property
    def terms(self) -> int:
        """How many updates were added."""
        return len(self._updates)

    def check(self, piece: Flat, weight: float, at: int = 0) -> None:
        """Check a piece. Raises InputError if it is not finite or too long."""
        if at + len(piece) > self._size:
            raise InputError(f"update: expected float32[{self._size}], got at least {at + len(piece)} numbers")
        check_finite(piece)

    def add(self, update: Spooled) -> None:
        """Remember an update; its file must stay until `result`."""
        self._updates[update.path.name] = update

    def result(self) -> Flat:
        """Return the aggregate. Raises InputError if nothing was added or a file is gone."""
        if not self._updates:
            raise InputError("aggregate of no updates: expected at least one")
        return self._combine([update for _, update in sorted(self._updates.items())])


def blocks(updates: Sequence[Spooled]) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Yield (place, float32[devices, block]) until the updates are through."""
    size = updates[0].size
    elements = max(LEAST_BLOCK, BLOCK_BYTES // (4 * len(updates)))
    for start in range(0, size, elements):
        place = slice(start, min(start + elements, size))
        yield place, np.stack([update.between(place.start, place.stop) for update in updates])


def coordinate_wise(combine: Combine) -> Callable[[Sequence[Spooled]], Flat]:
    """Return a rule that combines each coordinate on its own."""

    def apply(updates: Sequence[Spooled]) -> Flat:
        out = np.empty(updates[0].size, np.float32)
        for place, values in blocks(updates):
            out[place] = combine(values)
        return out

    return apply
