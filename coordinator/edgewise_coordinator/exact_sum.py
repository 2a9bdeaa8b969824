"""A running sum that does not depend on the order in which updates arrive.

Floating-point addition does not associate, so a round that is resumed after a crash, with its reports in another
order, would end in other weights. Each term is therefore rounded once, to a multiple of 2^-30, and added as a 64-bit
integer: integer addition is exact and commutes, so every order gives the same bits.

The rounding is Dekker's: adding 1.5·2^(52-30) to a float64 leaves the value's fixed-point form in the low bits of its
mantissa, so one multiplication, one addition and one integer addition fold an element in, all of which NumPy
vectorises. The constant itself is taken out once, when the sum is read (integers wrap around, so this is exact too).

Every pass works on a block that stays in a core's cache, in place: the update is read from memory once and the sum is
read and written once, as by a plain `total += update` into float64.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgewise_wire.errors import InputError
from edgewise_wire.weights import Flat

FRACTION_BITS = 30  # an error of at most 2^-31 a term, against a float32's own 2^-25 at 1.0
TERM_LIMIT = float(2 ** (51 - FRACTION_BITS))  # |weight · value| beyond it would leave the mantissa's low bits
WEIGHT_SUM_LIMIT = float(2**40)  # keeps the total inside float64's exact integers with room to spare
BLOCK = 1 << 16  # as many as are read at once (`spooled.PIECE`); as float64 512 KiB, inside a core's L2 cache

_MAGIC = np.float64(1.5 * 2.0 ** (52 - FRACTION_BITS))
_MAGIC_BITS = int(_MAGIC.view(np.int64))


@dataclass(frozen=True, slots=True)
class PartialSum:
    """What an `ExactSum` holds, so that sums made in several places become one: int64[size], terms, weights.

    Law: the merge of partial sums, in any order and grouping, is the sum of all their terms, bit for bit: integers
    that wrap around add associatively.
    """

    bits: NDArray[np.int64]
    terms: int
    weight: float

    def merged(self, other: PartialSum) -> PartialSum:
        """Return the sum of the terms of both.

        Raises:
            InputError: if they are of different lengths.
        """
        if self.bits.shape != other.bits.shape:
            raise InputError(f"partial sums: expected one length, got {len(self.bits)} and {len(other.bits)}")
        return PartialSum(self.bits + other.bits, self.terms + other.terms, self.weight + other.weight)


class ExactSum:
    """Σ weight·value over float32 vectors, exact to 2^-31 a term and independent of their order.

    Memory: 8 bytes an element and one block, whatever the number of terms.

    Example:
        >>> total = ExactSum(2)
        >>> total.add(np.array([1.0, 2.0], "f4"), 3.0)
        >>> total.add(np.array([5.0, 0.0], "f4"), 1.0)
        >>> total.mean()
        array([2. , 1.5], dtype=float32)
    """

    def __init__(self, size: int, bits: NDArray[np.int64] | None = None) -> None:
        """Begin with nothing; `bits` int64[size], zeroed, is where the sum is to stand (memory that others read)."""
        self.size = size
        self.terms = 0
        self.weight = 0.0
        self._bits: NDArray[np.int64] = np.zeros(size, np.int64) if bits is None else bits
        self._block = np.empty(min(size, BLOCK), np.float64)

    def add(self, values: Flat, weight: float, factor: float = 1.0) -> None:
        """Fold `weight` · `factor` · `values` (float32[size]) in; the mean is divided by the weights alone.

        `factor` is in (0, 1]: it shrinks a term that should count less than its share. A whole-numbered weight keeps
        the sum of the weights exact, too.

        Raises:
            InputError: if the length differs, the weight is not a positive finite number, or a term is too large or
                not finite; the sum is then unchanged.
        """
        self.add_blocks([values], weight, factor)

    def add_blocks(self, blocks: Iterable[Flat], weight: float, factor: float = 1.0, norm: float | None = None) -> None:
        """Fold one vector in that comes in consecutive pieces, so that it never has to be in memory whole.

        The pieces must have been checked with `check`: a piece that is refused half-way leaves the sum undefined. Who
        knows the vector's L2 norm (to float32's precision) saves a look at each piece: no value is larger than that.

        Raises:
            InputError: as `add`.
        """
        at = 0
        small = norm is not None and 0 < weight <= WEIGHT_SUM_LIMIT and norm * weight < TERM_LIMIT / 2
        for piece in blocks:
            if not small or at + len(piece) > self.size:
                self.check(piece, weight, at)
            for start in range(0, len(piece), BLOCK):
                at += self._fold(piece[start : start + BLOCK], weight * factor, at)
        if at != self.size:
            raise InputError(f"update: expected float32[{self.size}], got only {at} numbers")
        self.terms += 1
        self.weight += weight

    def _fold(self, part: Flat, weight: float, at: int) -> int:
        block = self._block[: len(part)]
        np.copyto(block, part)  # a multiplication that converts on the way goes through a buffer of NumPy's
        np.multiply(block, weight, out=block)
        np.add(block, _MAGIC, out=block)
        target = self._bits[at : at + len(part)]
        np.add(target, block.view(np.int64), out=target)
        return len(part)

    def merge(self, bits: NDArray[np.int64], terms: int, weight: float) -> None:
        """Add another sum, given as its `bits`, in place: the same bits as if its terms had been added here.

        Raises:
            InputError: if it has another size.
        """
        if bits.shape != (self.size,):
            raise InputError(f"sum: expected int64[{self.size}], got int64{list(bits.shape)}")
        np.add(self._bits, bits, out=self._bits)
        self.terms += terms
        self.weight += weight

    def check(self, piece: Flat, weight: float, at: int = 0) -> None:
        """Check that `weight` · `piece` can be folded in at element `at`.

        Raises:
            InputError: as `add`.
        """
        if not 0 < weight <= WEIGHT_SUM_LIMIT:
            raise InputError(f"weight of an update: expected a number in (0, 2^40], got {weight}")
        if at + len(piece) > self.size:
            raise InputError(f"update: expected float32[{self.size}], got at least {at + len(piece)} numbers")
        if not len(piece):
            return
        # max and min, not abs: no temporary, and each is half as dear as a sum of squares. A NaN makes both of them
        # NaN, and the comparison below false.
        reach = max(float(piece.max()), -float(piece.min())) * weight
        if not reach < TERM_LIMIT:
            raise InputError(f"update: expected finite values with |weight·value| below {TERM_LIMIT:.0f}, got {reach}")

    def units(self) -> NDArray[np.int64]:
        """Return the sum in whole multiples of 2^-30, int64[size]."""
        offset = np.array((_MAGIC_BITS * self.terms) % 2**64, np.uint64).view(np.int64)
        units: NDArray[np.int64] = self._bits - offset
        return units

    def partial(self) -> PartialSum:
        """Return what it holds; later additions do not change it."""
        return PartialSum(self._bits.copy(), self.terms, self.weight)

    def total(self) -> NDArray[np.float64]:
        """Return the sum as float64[size]."""
        total: NDArray[np.float64] = np.multiply(self.units(), 2.0**-FRACTION_BITS, dtype=np.float64)
        return total

    def mean(self) -> Flat:
        """Return the weighted mean as float32[size].

        Raises:
            InputError: if nothing was added.
        """
        if not self.terms:
            raise InputError("mean of no updates: expected at least one")
        return (self.total() / self.weight).astype(np.float32)
