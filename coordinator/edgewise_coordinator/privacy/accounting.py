"""What releases cost, in (ε, δ) and in zCDP, by Google's dp-accounting; the only file that imports it.

The neighbour of a fleet's data is the same with one device's reports replaced by zeros, in every round (the zero-out
adjacency of Kairouz et al. 2021, definition 1.1): the number of reports is public, and what a device holds is
protected whole, whatever it holds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from types import ModuleType
from typing import NamedTuple

from edgewise_coordinator.privacy.mechanisms.base import Mechanism
from edgewise_wire.errors import ConfigError, UnavailableError

LARGEST_NOISE = 1e6  # beyond, nothing is learned
ORDERS = [
    *range(2, 32),
    *range(32, 64, 4),
    *range(64, 257, 16),
]  # whole ones, whose divergences are sums that always converge
CLOSE = 1e-4  # how near a calibrated noise multiplier comes, as a share


class Spent(NamedTuple):
    """A guarantee: (ε, δ)-differential privacy, and ρ-zCDP (Bun and Steinke 2016).

    `rho` never counts on sampling: it is what a device is promised even if it is asked whenever its separation allows.
    """

    epsilon: float
    delta: float
    rho: float


class Sampled(NamedTuple):
    """A run of equal releases: how many, at which noise multiplier, and the share of the population that was asked."""

    releases: int
    noise_multiplier: float
    share: float


def of_mechanism(
    mechanism: Mechanism, noise_multiplier: float, steps: int, *, delta: float,
    separation: int = 1, participations: int | None = None,
) -> Spent:  # fmt: skip
    """Return what `steps` releases cost a device whose rounds are at least `separation` apart; no luck is counted on.

    All releases together are one Gaussian mechanism, so this is exact (Balle and Wang 2018, theorem 8).

    Args:
        mechanism: makes the noise.
        noise_multiplier: z: its standard deviation over the clipping norm.
        steps: releases, 0 or more.
        delta: of (ε, δ), in (0, 1).
        separation: in releases; 1 is no separation.
        participations: the most that a device takes part in; `None` for as many as fit.

    Raises:
        ConfigError: if a number is out of its range.
        UnavailableError: if dp-accounting is not installed.

    Example:
        >>> from edgewise_coordinator.privacy.mechanisms.gaussian import gaussian
        >>> round(of_mechanism(gaussian(), 2.0, 8, delta=1e-6, separation=2).epsilon, 2)
        4.89
    """
    check_delta(delta)
    if not steps:
        return Spent(0.0, delta, 0.0)
    if not noise_multiplier > 0:
        return Spent(math.inf, delta, math.inf)
    squared = _sensitivity(mechanism, steps, separation, participations)
    return Spent(
        _gaussian_epsilon(noise_multiplier / math.sqrt(squared), delta), delta, squared / 2 / noise_multiplier**2
    )


def of_sampled(runs: Sequence[Sampled], *, delta: float) -> Spent:
    """Return what independent Gaussian releases cost if each round's devices are a uniform sample of the population.

    Poisson sampling is accounted for, by Rényi divergences (Mironov, Talwar and Zhang 2019): a few per cent looser than
    privacy loss distributions, and quick enough for every round.

    Raises:
        ConfigError, UnavailableError: as `of_mechanism`.
    """
    check_delta(delta)
    some = tuple(run for run in runs if run.releases)
    if not some:
        return Spent(0.0, delta, 0.0)
    if not all(run.noise_multiplier > 0 for run in some):
        return Spent(math.inf, delta, math.inf)
    rho = sum(run.releases / 2 / run.noise_multiplier**2 for run in some)
    return Spent(_sampled_epsilon(some, delta), delta, rho)


def renyi_epsilon(rho: float, delta: float) -> float:
    """Return the ε of ρ-zCDP by way of Rényi divergences (Canonne et al. 2020, proposition 12).

    Looser than `of_mechanism`, which knows that the mechanism is Gaussian; published guarantees often use it.

    Example:
        >>> round(renyi_epsilon(79 / 98, 1e-10), 2)
        8.9
    """
    accounting = _accounting()
    accountant = accounting.rdp.RdpAccountant()
    accountant.compose(accounting.GaussianDpEvent(1 / math.sqrt(2 * rho)))
    return float(accountant.get_epsilon(delta))


def noise_for(cost: Callable[[float], float], epsilon: float) -> float:
    """Return the least noise multiplier whose cost is at most `epsilon`, to four digits and never below.

    Args:
        cost: ε as a function of the noise multiplier; it falls.
        epsilon: above 0.

    Raises:
        ConfigError: if no multiplier up to a million reaches it.
    """
    if not epsilon > 0:
        raise ConfigError(f"epsilon: expected a number above 0, got {epsilon}")
    low, high = 0.0, 1.0
    while cost(high) > epsilon:
        low, high = high, 2 * high
        if high > LARGEST_NOISE:
            raise ConfigError(f"epsilon {epsilon:g}: not reached with any noise; fewer rounds or a larger separation")
    while high - low > CLOSE * high:
        middle = (low + high) / 2
        low, high = (middle, high) if cost(middle) > epsilon else (low, middle)
    return round_up(high)


def round_up(value: float) -> float:
    """Return a positive number with four digits that is not below it.

    Example:
        >>> round_up(1.23401), round_up(2.0)
        (1.235, 2.0)
    """
    unit = 10.0 ** (math.floor(math.log10(value)) - 3)
    return float(f"{math.ceil(value / unit - 1e-9) * unit:.4g}")


def check_delta(delta: float) -> None:
    """Check a δ.

    Raises:
        ConfigError: if it is not between 0 and 1.
    """
    if not 0 < delta < 1:
        raise ConfigError(f"delta: expected a number between 0 and 1 (less than 1 / population), got {delta}")


@lru_cache(maxsize=4096)
def _sensitivity(mechanism: Mechanism, steps: int, separation: int, participations: int | None) -> float:
    return mechanism.sensitivity(steps, separation, participations)


@lru_cache(maxsize=4096)
def _gaussian_epsilon(sigma: float, delta: float) -> float:
    return float(_accounting().gaussian_mechanism.get_epsilon_gaussian(sigma, delta))


@lru_cache(maxsize=1024)
def _sampled_epsilon(runs: tuple[Sampled, ...], delta: float) -> float:
    accounting = _accounting()
    accountant = accounting.rdp.RdpAccountant(ORDERS)
    for releases, noise, share in runs:
        event = accounting.GaussianDpEvent(noise)
        if share < 1:
            event = accounting.PoissonSampledDpEvent(share, event)
        accountant.compose(event, releases)
    return float(accountant.get_epsilon(delta))


def _accounting() -> ModuleType:
    try:
        import dp_accounting
        import dp_accounting.gaussian_mechanism
        import dp_accounting.rdp
    except ModuleNotFoundError as error:
        raise UnavailableError(f"differential privacy needs {error.name!r}: pip install 'edgewise[privacy]'") from error
    module: ModuleType = dp_accounting
    return module


def of_divergences(divergence: Callable[[int], float], *, delta: float) -> float:
    """Return the ε of a mechanism whose Rényi divergence of each whole order is at most `divergence(order)`.

    Raises:
        ConfigError: if δ is out of its range.
    """
    check_delta(delta)
    accounting = _accounting()
    found, _ = accounting.rdp.compute_epsilon(ORDERS, [divergence(order) for order in ORDERS], delta)
    return float(found)
