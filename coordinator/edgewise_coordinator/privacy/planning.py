"""Before a run: which noise a guarantee needs, what a noise guarantees, and how many devices make a useful model.

What a model can learn is set by the noise that its weights carry at the end against what its devices can move them: the
sum of T mean updates of norm C moves the weights by C·T at the most, and carries noise of C·z·√(E_T·d)/n, with E_T the
mechanism's variance of the running sum and d the parameters. This is called useful where that ratio is no larger than
in the first private model that Google launched in Gboard (es-ES: z = 7, n = 6,500, T = 2,000 by tree aggregation).
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from edgewise_coordinator.privacy.accounting import Sampled, Spent, noise_for, of_mechanism, of_sampled, round_up
from edgewise_coordinator.privacy.mechanisms.banded import banded, optimal_bands
from edgewise_coordinator.privacy.mechanisms.base import Mechanism
from edgewise_coordinator.privacy.mechanisms.gaussian import gaussian
from edgewise_coordinator.privacy.mechanisms.tree import tree
from edgewise_wire.errors import ConfigError

PARAMETERS = 1_422_250  # of the next-word model of Hard et al. 2018
COHORTS = [round(digits * 10**e) for e in range(1, 7) for digits in (1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9)]
BANDS_MAX = 400  # as in Gboard; each costs the coordinator 8 bytes a parameter on disk
MECHANISMS = ("dp-fedavg", "dp-ftrl", "dp-mf")
WORDS = {
    "dp-fedavg": "independent Gaussian noise (McMahan et al. 2018)",
    "dp-ftrl": "tree aggregation (Kairouz et al. 2021)",
    "dp-mf": "banded matrix factorisation (Choquette-Choo et al. 2023)",
}


@dataclass(frozen=True, slots=True)
class Run:
    """A run as it is planned.

    `separation` is in rounds; `sampled` says that each round's cohort is a uniform sample of the population (only for
    independent noise).
    """

    kind: str
    population: int
    cohort: int
    rounds: int
    delta: float
    separation: int = 1
    participations: int | None = None
    sampled: bool = False
    bands: int = 0
    restart_every: int = 0

    def __post_init__(self) -> None:
        if self.kind not in MECHANISMS:
            raise ConfigError(f"privacy {self.kind!r}: not known; expected one of {', '.join(MECHANISMS)}")
        if not 1 <= self.cohort <= self.population:
            raise ConfigError(f"cohort: expected 1 to the population {self.population}, got {self.cohort}")
        if self.rounds < 1:
            raise ConfigError(f"rounds: expected at least 1, got {self.rounds}")

    @property
    def mechanism(self) -> Mechanism:
        """What makes the noise."""
        return make_mechanism(
            self.kind, self.rounds, self.separation, bands=self.bands, restart_every=self.restart_every
        )

    def cost(self, noise_multiplier: float) -> Spent:
        """Return what the run guarantees at this noise multiplier."""
        if self.sampled:
            share = self.cohort / self.population
            return of_sampled([Sampled(self.rounds, noise_multiplier, share)], delta=self.delta)
        return of_mechanism(
            self.mechanism, noise_multiplier, self.rounds,
            delta=self.delta, separation=self.separation, participations=self.participations,
        )  # fmt: skip

    def noise_multiplier(self, epsilon: float) -> float:
        """Return the least noise multiplier that keeps the whole run within ε. Raises ConfigError if none does."""
        if self.sampled:
            return noise_for(lambda z: self.cost(z).epsilon, epsilon)
        squared = self.mechanism.sensitivity(self.rounds, self.separation, self.participations)
        return round_up(_unit_noise(epsilon, self.delta) * math.sqrt(squared))

    def noise_to_signal(self, noise_multiplier: float, parameters: int = PARAMETERS) -> float:
        """Return the noise that the weights carry at the end over the furthest that updates can have moved them."""
        variance = self.mechanism.variance(self.rounds)
        return noise_multiplier * math.sqrt(variance * parameters) / (self.cohort * self.rounds)


@lru_cache(maxsize=64)
def _unit_noise(epsilon: float, delta: float) -> float:
    once = gaussian()
    return noise_for(lambda z: of_mechanism(once, z, 1, delta=delta).epsilon, epsilon)


@lru_cache(maxsize=64)
def _bands(bands: int, rounds: int) -> tuple[float, ...]:
    return tuple(float(c) for c in optimal_bands(bands, rounds))


def make_mechanism(
    kind: str, rounds: int, separation: int, *, bands: int = 0, restart_every: int = 0,
    coefficients: Sequence[float] = (),
) -> Mechanism:  # fmt: skip
    """Return a mechanism by the name it has on the command line.

    Args:
        kind: one of `MECHANISMS`.
        rounds: that the run is planned for.
        separation: of a device's rounds.
        bands: of dp-mf; 0 for as many as the separation allows, up to 400.
        restart_every: of dp-ftrl.
        coefficients: of dp-mf, where they were found before.

    Raises:
        ConfigError: if there is none of this name, or a setting belongs to another.

    Example:
        >>> make_mechanism("dp-ftrl", 100, 10).name
        'tree'
    """
    if bands and kind != "dp-mf":
        raise ConfigError(f"--bands belongs to dp-mf, not to {kind}")
    if restart_every and kind != "dp-ftrl":
        raise ConfigError(f"--restart-every belongs to dp-ftrl, not to {kind}")
    if kind == "dp-fedavg":
        return gaussian()
    if kind == "dp-ftrl":
        return tree(restart_every)
    if kind == "dp-mf":
        return banded(coefficients or _bands(bands or min(separation, rounds, BANDS_MAX), rounds))
    raise ConfigError(f"privacy {kind!r}: not known; expected one of {', '.join(MECHANISMS)}")


@lru_cache(maxsize=8)
def reference_ratio(parameters: int = PARAMETERS) -> float:
    """Return the noise-to-signal ratio of the es-ES model by tree aggregation, which counts as useful."""
    run = Run("dp-ftrl", population=6_500 * 314, cohort=6_500, rounds=2_000, delta=1e-10, separation=314)
    return run.noise_to_signal(7.0, parameters)


def useful_cohort(run_of: Callable[[int], Run | None], epsilon: float, parameters: int = PARAMETERS) -> int | None:
    """Return the smallest cohort, to two digits, at which a run within ε is useful; `None` if there is none.

    `run_of(cohort)` returns the run with another cohort, `None` where it cannot be: a larger cohort comes round to the
    same devices sooner, so more noise goes with it.
    """
    target = reference_ratio(parameters)

    def useful(cohort: int) -> bool:
        run = run_of(cohort)
        return run is not None and run.noise_to_signal(run.noise_multiplier(epsilon), parameters) <= target

    possible = [(cohort, run) for cohort in COHORTS if (run := run_of(cohort)) is not None]
    if possible and possible[0][1].sampled:  # dear to try, and the ratio falls with the cohort
        at = bisect_left(possible, True, key=lambda each: useful(each[0]))
        return possible[at][0] if at < len(possible) else None
    return next((cohort for cohort, _ in possible if useful(cohort)), None)
