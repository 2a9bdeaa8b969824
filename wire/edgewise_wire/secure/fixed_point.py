"""Updates as integers that can be summed exactly, and their sum as a mean: fixed point with clipping.

A device sends `parameters` + 2 words: its update, its weight, its loss. Everything that the coordinator would ask a
single device in a plain round travels inside the sum.

    update   round(clamp(x, ±range) · w / weight_max · (2^(value_bits − 1) − 1) / range)
    weight   w = min(examples, weight_max)
    loss     round(clamp(loss, 0 … 32) · w / weight_max · (2^(value_bits − 1) − 1) / 32)

Rounding is stochastic, up or down with the probability that makes it right on average, so that updates far below a step
are not lost in a large cohort. Law: the mean that `decode` gives is the one of the same integers summed in the clear,
bit for bit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgewise_wire.errors import InputError, ProtocolError
from edgewise_wire.secure.form import EXTRA, Form
from edgewise_wire.secure.words import Words
from edgewise_wire.weights import Flat

LOSS_MAX = 32.0  # nats; a vocabulary of 2^46 words has it when it knows nothing
BLOCK = 1 << 16
THROWS = 16  # one in two holds, at the norm that `rounded_norm` gives

Noise: TypeAlias = NDArray[np.int64]
"""int64[parameters], in steps."""


@dataclass(frozen=True, slots=True)
class FixedPoint(Form):
    """A `Form` with its arithmetic.

    Example:
        >>> form = FixedPoint(cohort=8, value_bits=16, range=1.0)
        >>> form.decode(form.encode(np.array([0.5], "f4"), 1, 2.0, np.random.default_rng(1)), 1).mean.round(4)
        array([0.5], dtype=float32)
    """

    def encode(
        self, update: Flat, examples: int, loss: float, dice: np.random.Generator, *,
        norm: float = math.inf, noise: Noise | None = None,
    ) -> Words:  # fmt: skip
        """Return a device's words, uint32[parameters + 2], modulo 2^32.

        Args:
            update: float32[parameters].
            examples: what it was trained on, at least 1.
            loss: the mean training loss.
            dice: for stochastic rounding.
            norm: the most that the L2 norm of the update's words may be, in steps, before noise; the dice are thrown
                again until it holds (Kairouz et al. 2021, §4.1), and at last numbers are cut off instead.
            noise: int64[parameters], added to the update; the loss, which has none, is then not told.

        Raises:
            InputError: if a number is not finite.
        """
        weight = min(max(1, examples), self.weight_max)
        share = weight / self.weight_max
        words = np.zeros(len(update) + EXTRA, np.uint32)
        for throw in range(THROWS + 1):
            squares = self._round(update, share, dice if throw < THROWS else None, words)
            if squares <= norm * norm:
                break
        if noise is not None:
            words[:-EXTRA] += noise.astype(np.uint32)  # modulo 2^32, as C has it
        words[-2] = weight
        if noise is None:
            bounded = min(max(loss, 0.0), LOSS_MAX) if math.isfinite(loss) else LOSS_MAX
            words[-1] = min(self.top, int(bounded / LOSS_MAX * share * self.top + dice.random()))
        return words

    def _round(self, update: Flat, share: float, dice: np.random.Generator | None, words: Words) -> float:
        """Put the update's words into `words`, towards zero without dice, and return the square of their norm."""
        squares = 0.0
        for start in range(0, len(update), BLOCK):
            part = update[start : start + BLOCK].astype(np.float64)
            if not np.isfinite(part).all():
                raise InputError("update: expected finite values, got NaN or infinity")
            np.clip(part, -self.range, self.range, out=part)
            part *= share / self.step
            part = np.trunc(part) if dice is None else np.floor(part + dice.random(len(part)))
            np.clip(part, -self.top, self.top, out=part)
            squares += float(np.einsum("i,i->", part, part))
            words[start : start + len(part)] = part.astype(np.int64).astype(np.uint32)
        return squares

    def decode(self, total: Words, devices: int) -> Decoded:
        """Return what a sum says.

        Args:
            total: uint32[parameters + 2], the sum modulo 2^modulus_bits.
            devices: how many are in it.

        Raises:
            ProtocolError: if the weights in it are impossible: some device did not follow the protocol.
        """
        bits = self.modulus_bits
        signed = _centred(total, bits)
        weight, loss = int(signed[-2]), int(signed[-1])
        if not devices <= weight <= devices * self.weight_max or devices > self.cohort:
            raise ProtocolError(
                f"secure sum of {devices} devices: expected weights of {devices} to {devices * self.weight_max} in all,"
                f" got {weight}"
            )
        scale = self.step * self.weight_max / weight
        mean = (signed[:-EXTRA] * scale).astype(np.float32)
        return Decoded(mean, weight, max(0.0, loss / self.top * LOSS_MAX * self.weight_max / weight))


class Decoded(NamedTuple):
    """The weighted mean of the updates (float32[parameters]), the sum of the weights, the weighted mean loss."""

    mean: Flat
    weight: int
    loss: float


def _centred(total: Words, bits: int) -> NDArray[np.int64]:
    """Return words modulo 2^bits as integers from −2^(bits−1) to 2^(bits−1) − 1."""
    shift = np.uint32(32 - bits)
    signed: NDArray[np.int64] = ((total << shift).view(np.int32) >> np.int32(shift)).astype(np.int64)
    return signed
