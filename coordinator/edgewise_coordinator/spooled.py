"""An update as it lies in the spool: read piece by piece, so that no update has to be in memory whole."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgewise_wire.errors import InputError
from edgewise_wire.weights import WIRE_DTYPE, Flat

Check = Callable[[Flat, float, int], None]
"""`check(piece, weight, at)` raises InputError where elements `at` and on of an update could not be aggregated."""

PIECE = 1 << 16  # elements read at once: 256 KiB, few system calls and still inside a core's L2 cache


@dataclass(frozen=True, slots=True)
class Spooled:
    """One device's update, float32[size] on disk, and what it counts.

    `weight` is its weight in the mean; `factor` in (0, 1] shrinks it (norm bounding, staleness) without changing what
    the mean is divided by.
    """

    path: Path
    size: int
    weight: float
    factor: float = 1.0

    def pieces(self, elements: int = PIECE) -> Iterator[Flat]:
        """Yield the update in consecutive float32 arrays of at most `elements`, as the device sent it."""
        try:
            with self.path.open("rb") as file:
                for start in range(0, self.size, elements):
                    yield self._read(file.read(WIRE_DTYPE.itemsize * min(elements, self.size - start)))
                self._check_end(file.read(1))
        except OSError as error:
            raise InputError(f"{self.path}: the update cannot be read ({error.strerror})") from error

    def between(self, start: int, stop: int) -> Flat:
        """Return elements `start` to `stop` (not included), the factor applied."""
        try:
            with self.path.open("rb") as file:
                file.seek(WIRE_DTYPE.itemsize * start)
                piece = self._read(file.read(WIRE_DTYPE.itemsize * (stop - start)))
        except OSError as error:
            raise InputError(f"{self.path}: the update cannot be read ({error.strerror})") from error
        if len(piece) != stop - start:
            raise InputError(f"{self.path}: expected float32[{self.size}], the file is shorter")
        return piece if self.factor == 1.0 else piece * np.float32(self.factor)

    def measure(self, check: Check | None, most: float) -> float:
        """Return the L2 norm as the device sent it; `check(piece, weight, at)` sees every piece on the way.

        Raises:
            InputError: if the file has another length, a value is not finite, the norm is above `most`, or from
                `check`.
        """
        return _measured(self, check, most)

    def _read(self, data: bytes) -> Flat:
        if len(data) % WIRE_DTYPE.itemsize:
            raise InputError(f"update: expected float32[{self.size}], got {len(data)} bytes at its end")
        return np.frombuffer(data, WIRE_DTYPE).astype(np.float32, copy=False)

    def _check_end(self, rest: bytes) -> None:
        if rest:
            raise InputError(f"update: expected float32[{self.size}], got more")


@dataclass(frozen=True, slots=True)
class Held:
    """One device's update in memory, float32[size]: what `Spooled` is on disk, bit for bit in all that it yields."""

    values: Flat
    weight: float
    factor: float = 1.0

    @property
    def size(self) -> int:
        """How many numbers it has."""
        return len(self.values)

    def pieces(self, elements: int = PIECE) -> Iterator[Flat]:
        """Yield the update in consecutive views of at most `elements`."""
        for start in range(0, self.size, elements):
            yield self.values[start : start + elements]

    def measure(self, check: Check | None, most: float) -> float:
        """Return the L2 norm; see `Spooled.measure`. Raises InputError as it does."""
        return _measured(self, check, most)


def _measured(update: Spooled | Held, check: Check | None, most: float) -> float:
    squares, at = 0.0, 0
    refused: InputError | None = None
    for piece in update.pieces():
        try:
            if check is not None:
                check(piece, update.weight, at)
        except InputError as error:
            refused = refused or error
        wide = piece.astype(np.float64)
        squares += float(np.einsum("i,i->", wide, wide))  # not dot: its BLAS threads fight for two cores
        at += len(piece)
    norm = math.sqrt(squares) if squares < math.inf else squares  # a NaN compares false
    if at != update.size:
        raise InputError(f"update: expected float32[{update.size}], got {at} numbers")
    if not norm <= most:
        raise InputError(f"update: expected finite values with an L2 norm of at most {most:g}, got {norm:g}")
    if refused is not None:
        raise refused
    return norm
