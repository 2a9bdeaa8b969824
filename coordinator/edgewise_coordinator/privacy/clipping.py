"""The clipping norm of a round: always the same, or led by how many updates it leaves alone (Andrew et al. 2021)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from edgewise_wire.errors import ConfigError

LEARNING_RATE = 0.2  # of the norm's logarithm; Andrew et al. 2021, §3.2
BITS_A_COHORT = 20.0  # σ_b = cohort / 20 there (§3.1), which a large cohort's sum of bits bears
LEAST_BIT_NOISE = 2.0  # times the noise multiplier: a small cohort's bits must not take all of the budget
LEAST_NORM, LARGEST_NORM = 1e-9, 999_999.0  # an encoding's name has no room for an exponent with a plus sign
LARGEST_STEP = 1.0  # of the logarithm in one round: what one draw of noise may do


class Clipping(NamedTuple):
    """`following(norm, share) -> norm`: the next round's norm, where `share` is the noised share of updates within it.

    `bit_noise` is the standard deviation σ_b added to the number of updates within the norm, 0 where nobody asks.
    """

    name: str
    first: float
    following: Callable[[float, float], float]
    bit_noise: float = 0.0

    @property
    def asks(self) -> bool:
        """Whether devices are asked if their update was within the norm."""
        return self.bit_noise > 0

    def update_noise(self, noise_multiplier: float) -> float:
        """Return the multiplier of the updates' own noise, so that updates and bits together cost `noise_multiplier`.

        A bit counts as ±1/2, so (z_Δ)⁻² + (2σ_b)⁻² = z⁻² (Andrew et al. 2021, theorem 1).

        Example:
            >>> adaptive(1.0, cohort=100).update_noise(0.0), round(adaptive(1.0, cohort=100).update_noise(1.0), 4)
            (0.0, 1.005)
        """
        if not self.asks or not noise_multiplier:
            return noise_multiplier
        return 1 / math.sqrt(noise_multiplier**-2 - (2 * self.bit_noise) ** -2)


def flat(norm: float) -> Clipping:
    """Return the clipping norm that stays.

    Raises:
        ConfigError: if it is not a positive number.

    Example:
        >>> flat(0.5).following(0.5, 0.9)
        0.5
    """
    first = canonical(norm)
    return Clipping("flat", first, lambda current, share: current)


def adaptive(norm: float, *, quantile: float = 0.5, cohort: int, noise_multiplier: float = 0.0) -> Clipping:
    """Return the clipping norm that goes to a quantile of the updates' norms: C ← C · exp(−η (share − quantile)).

    Args:
        norm: of the first round.
        quantile: γ, the share of updates that is to be within the norm, in (0, 1).
        cohort: the reports expected in a round.
        noise_multiplier: of the run; the bits' own noise is at least twice that.

    Raises:
        ConfigError: if a number is out of its range.

    Example:
        >>> round(adaptive(1.0, cohort=100).following(1.0, 0.0), 4)  # all were clipped: the norm grows
        1.10517
    """
    first = canonical(norm)
    if not 0 < quantile < 1:
        raise ConfigError(f"clipping quantile: expected a number between 0 and 1, got {quantile}")
    if cohort < 1:
        raise ConfigError(f"cohort of adaptive clipping: expected at least 1, got {cohort}")

    def following(current: float, share: float) -> float:
        step = max(-LARGEST_STEP, min(LARGEST_STEP, -LEARNING_RATE * (share - quantile)))
        return canonical(min(max(current * math.exp(step), LEAST_NORM), LARGEST_NORM / 2))

    return Clipping("adaptive", first, following, max(cohort / BITS_A_COHORT, LEAST_BIT_NOISE * noise_multiplier))


def canonical(norm: float) -> float:
    """Return a norm as it travels: six digits, in the name of the encoding.

    Raises:
        ConfigError: if it is out of its range.
    """
    if not LEAST_NORM <= norm < LARGEST_NORM:
        raise ConfigError(f"clipping norm: expected {LEAST_NORM:g} to {LARGEST_NORM:g}, got {norm}")
    return float(f"{norm:g}")
