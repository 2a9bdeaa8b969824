"""How a secure round's updates become words: the numbers that devices and coordinator agree on, without any arithmetic.

A device weighs an assignment by this alone; what encodes and decodes is `fixed_point`, which needs NumPy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from edgewise_wire.encodings import plane_bytes
from edgewise_wire.errors import ConfigError

ENCODING: Final = "masked"  # of an update in a secure round, as assignments and uploads name it
MODULUS_BITS_MAX: Final = 32
EXTRA: Final = 2  # words behind the update: the weight, the loss
NOISE_TAIL: Final = 12.0  # standard deviations of the sum's noise that find room: beyond them lies less than 2^-100


@dataclass(frozen=True, slots=True)
class Form:
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
        >>> form = Form(cohort=1024, value_bits=16, range=1.0)
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


def packed_bytes(length: int, width: int) -> int:
    """Return how many bytes `length` words of `width` bits take (see `words`)."""
    return width // 8 * length + width % 8 * plane_bytes(length)
