"""What noise costs that devices add themselves, under secure aggregation (Agarwal et al. 2021).

Each device adds Skellam noise to its clipped, rounded update; the sum that the coordinator learns carries all of it. So
the guarantee holds against the coordinator, too, as long as enough of a round's devices did add their part.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from edgewise_coordinator.privacy.accounting import of_divergences
from edgewise_wire.errors import ConfigError
from edgewise_wire.secure.form import Form
from edgewise_wire.secure.noise import VARIANCE_MAX, honest, rounded_norm


@dataclass(frozen=True, slots=True)
class SkellamNoise:
    """The noise of one sum, and what sums cost.

    Attributes:
        form: how updates become words; its cohort is the most devices of a sum.
        clip: the L2 norm that they are clipped to.
        numbers: how many an update has.
        least: the fewest devices of a sum; those in league with the coordinator, 5 % of a cohort, add nothing.
        noise_multiplier: z: the standard deviation of the sum's noise over the largest norm of a rounded update.

    Raises:
        ConfigError: if a number is out of its range.
    """

    form: Form
    clip: float
    numbers: int
    least: int
    noise_multiplier: float

    def __post_init__(self) -> None:
        if not 0 < self.noise_multiplier <= 1e4:
            raise ConfigError(f"noise multiplier: expected a number above 0, got {self.noise_multiplier}")
        if not 0 < self.clip < math.inf:
            raise ConfigError(f"clipping norm: expected a positive number, got {self.clip}")
        if self.honest < 1:
            raise ConfigError(
                f"noise by the devices: of at least {self.least} reports of a cohort of {self.form.cohort} all may come"
                " from devices in league with the coordinator; ask for more reports (--min-reports)"
            )
        if self.of_each > VARIANCE_MAX:
            raise ConfigError(
                f"noise by the devices: each would draw from a variance of {self.of_each:.3g} steps², at most"
                f" {VARIANCE_MAX:g} can be drawn; take fewer bits a number (--secure-bits)"
            )

    @property
    def honest(self) -> int:
        """How many devices of a sum add their noise for certain."""
        return honest(self.least, self.form.cohort)

    @property
    def norm(self) -> float:
        """The largest L2 norm of a rounded update, in steps: the sensitivity under zero-out adjacency."""
        return rounded_norm(self.clip / self.form.step, self.numbers)

    @property
    def of_each(self) -> float:
        """The variance that each device adds to each number, in steps²."""
        return (self.noise_multiplier * self.norm) ** 2 / self.honest

    def divergence(self, order: int, sums: int = 1) -> float:
        """Return a bound on so many sums' Rényi divergence of a whole order (Agarwal et al. 2021, theorem 3.5)."""
        l2, variance = self.norm, (self.noise_multiplier * self.norm) ** 2
        l1 = min(math.sqrt(self.numbers) * l2, l2 * l2)  # whole numbers: |x| <= x²
        of_one = order * l2 * l2 / (2 * variance) + min(
            ((2 * order - 1) * l2 * l2 + 6 * l1) / (4 * variance * variance), 3 * l1 / (2 * variance)
        )
        return sums * of_one

    def epsilon(self, sums: int, delta: float) -> float:
        """Return the ε at `delta` of a device that is in so many sums; no luck in who is selected is counted on."""
        return of_divergences(lambda order: self.divergence(order, sums), delta=delta) if sums else 0.0

    def rho(self, sums: int) -> float:
        """Return the ρ of zCDP of a device that is in so many sums: divergence over order, at the worst real order.

        The theorem is about whole orders. Divergences grow with the order, so between two of them the larger one's
        stands for all: between 1 and 2 that is the divergence of order 2, and this bound is twice a Gaussian's.
        """
        return self.divergence(2, sums) if sums else 0.0
