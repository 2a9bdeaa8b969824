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
        self,
        update: Flat,
        examples: int,
        loss: float,
        dice: np.random.Generator,
        noise: Noise | None = None,
    ) -> Words:
        """Return a device's words, uint32[parameters + 2], modulo 2^32.

        Args:
            update: float32[parameters].
            examples: what it was trained on, at least 1.
            loss: the mean training loss.
            dice: for stochastic rounding.
            noise: int64[parameters], added to the update; `None` where there is none.

        Raises:
            InputError: if a number is not finite.
        """
        weight = min(max(1, examples), self.weight_max)
        share = weight / self.weight_max
        words = np.empty(len(update) + EXTRA, np.uint32)
        for start in range(0, len(update), BLOCK):
            part = update[start : start + BLOCK].astype(np.float64)
            if not np.isfinite(part).all():
                raise InputError("update: expected finite values, got NaN or infinity")
            np.clip(part, -self.range, self.range, out=part)
            part *= share / self.step
            part += dice.random(len(part))
            whole = np.floor(part).astype(np.int64)
            np.clip(whole, -self.top, self.top, out=whole)
            if noise is not None:
                whole += noise[start : start + BLOCK]
            words[start : start + len(part)] = whole.astype(np.uint32)  # modulo 2^32, as C has it
        bounded = min(max(loss, 0.0), LOSS_MAX) if math.isfinite(loss) else LOSS_MAX
        words[-2] = weight
        words[-1] = min(self.top, int(bounded / LOSS_MAX * share * self.top + dice.random()))
        return words

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
