"""Updates as integers that can be summed exactly: fixed point with clipping, in a modulus that the sum cannot leave.

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
import struct
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgewise_wire.errors import ConfigError, InputError, ProtocolError
from edgewise_wire.secure.words import Words
from edgewise_wire.weights import Flat

MODULUS_BITS_MAX = 32
LOSS_MAX = 32.0  # nats; a vocabulary of 2^46 words has it when it knows nothing
EXTRA = 2  # words behind the update: the weight, the loss
NOISE_TAIL = 12.0  # standard deviations of the sum's noise that find room: beyond them lies less than 2^-100
BLOCK = 1 << 16

Noise: TypeAlias = NDArray[np.int64]
"""int64[parameters], in steps."""


@dataclass(frozen=True, slots=True)
class FixedPoint:
    """How numbers become words; the same for all devices of a round.

    Attributes:
        cohort: the most devices that are summed.
        value_bits: of one device's number, its sign included: 2 to 24.
        range: numbers beyond ± are clipped to it.
        weight_max: examples beyond it do not count more; 1 is equal weights.
        noise: variance, in steps², of the noise that each device adds to each number of its update; 0 for none.

    Raises:
        ConfigError: if a value is out of its range, or the sum would not fit 32 bits.

    Example:
        >>> form = FixedPoint(cohort=1024, value_bits=16, range=1.0)
        >>> form.modulus_bits
        26
    """

    cohort: int
    value_bits: int = 20
    range: float = 4.0
    weight_max: int = 1
    noise: float = 0.0

    def __post_init__(self) -> None:
        if not 2 <= self.value_bits <= 24:
            raise ConfigError(f"secure aggregation: expected values of 2 to 24 bits, got {self.value_bits}")
        if not 0 < self.range <= 1e6:
            raise ConfigError(f"secure aggregation: expected a range above 0 and up to 1e6, got {self.range}")
        if self.cohort < 1 or not 1 <= self.weight_max < 1 << 31:
            raise ConfigError(
                f"secure aggregation: expected a cohort and a largest weight of at least 1, got {self.cohort} and"
                f" {self.weight_max}"
            )
        if not 0 <= self.noise < 2.0**60:
            raise ConfigError(f"secure aggregation: expected a variance of at least 0, got {self.noise}")
        if self.modulus_bits > MODULUS_BITS_MAX:
            raise ConfigError(
                f"secure aggregation of {self.cohort} devices with values of {self.value_bits} bits and weights up to"
                f" {self.weight_max}: the sum needs {self.modulus_bits} bits, at most {MODULUS_BITS_MAX} can be had;"
                " take fewer bits or a smaller largest weight"
            )

    @property
    def top(self) -> int:
        """The largest word that a clipped number becomes."""
        return (1 << (self.value_bits - 1)) - 1

    @property
    def step(self) -> float:
        """How much of an update one unit is, for a device of the largest weight."""
        return self.range / self.top

    @property
    def modulus_bits(self) -> int:
        """The bits of a word: as few as hold any sum of the cohort, of either sign, with its noise."""
        noise = math.ceil(NOISE_TAIL * math.sqrt(self.cohort * self.noise))
        return max(self.cohort * self.top + noise, self.cohort * self.weight_max).bit_length() + 1

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

    def to_bytes(self) -> bytes:
        """Return what every device of a round must agree on, in a fixed layout."""
        return struct.pack("<IBdId", self.cohort, self.value_bits, self.range, self.weight_max, self.noise)


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
