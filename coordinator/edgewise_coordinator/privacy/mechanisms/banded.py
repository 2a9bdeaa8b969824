"""DP-FTRL by banded matrix factorisation (Choquette-Choo et al. 2023, "(Amplified) Banded Matrix Factorization", §3).

The running sums of the rounds, A·x with A the lower triangle of ones, are released as A·(x + C⁻¹·z): C is lower
triangular with `bands` diagonals, z is Gaussian. So the noise of a release is what C's recurrence makes of fresh noise
and of the last `bands` − 1 releases' noise: later releases take back most of the noise of earlier ones. A device whose
rounds are at least `bands` apart moves disjoint rows of C, so k of them move C·x by √k columns.

C is Toeplitz, as McKenna (2024, "Scaling up the Banded Matrix Factorization Mechanism") found to cost next to nothing
against a free one; its `bands` numbers start from those of the square root of A (Fichtenberger et al. 2023) and are
then optimised for the mean squared error of the running sums.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgewise_coordinator.privacy.mechanisms.base import Mechanism, Step, participations_that_fit
from edgewise_wire.errors import ConfigError

Column = NDArray[np.float64]
"""The first column of a lower triangular Toeplitz matrix."""


def banded(coefficients: Sequence[float]) -> Mechanism:
    """Return the mechanism for a Toeplitz C.

    Args:
        coefficients: C's first column down to its last band, of norm 1 so that the noise multiplier is the ratio to
            one participation; from `optimal_bands`, and written down with the run.

    Raises:
        ConfigError: if they are none, the first is not positive, or their norm is not 1.

    Example:
        >>> mechanism = banded([1.0])  # one band: independent noise
        >>> mechanism.step(5).release, mechanism.sensitivity(2000, 400, None)
        ((1.0,), 5.0)
    """
    column = np.array(coefficients, np.float64)
    if not len(column) or not column[0] > 0 or not abs(float(np.linalg.norm(column)) - 1.0) < 1e-9:
        raise ConfigError("bands: expected a first column of norm 1 that begins with a positive number")
    bands = len(column)
    reach = np.cumsum(column**2)

    def step(number: int) -> Step:
        back = range(1, min(bands, number))
        release = (1 / float(column[0]), *(-float(column[j] / column[0]) for j in back))
        uses = tuple(f"banded-{number - j}" for j in back)
        keep = {f"banded-{number}": release} if bands > 1 else {}
        forget = (f"banded-{number - bands + 1}",) if bands > 1 and number >= bands else ()
        return Step(1, release, uses, keep, forget)

    def sensitivity(steps: int, separation: int, participations: int | None) -> float:
        if separation < bands:
            raise ConfigError(
                f"{bands} bands with a separation of {separation} rounds: a device's reports would share noise;"
                f" expected at most as many bands as the separation"
            )
        # The earliest rounds move the most rows: those of a late one are cut off at the end.
        rows = (steps - separation * k for k in range(participations_that_fit(steps, separation, participations)))
        return float(sum(reach[min(left, bands) - 1] for left in rows))

    def variance(steps: int) -> float:
        return float(np.sum(np.cumsum(_inverse(column, steps)) ** 2))

    found = tuple(float(c) for c in column)
    return Mechanism(f"banded-{bands}", step, sensitivity, variance, least_separation=bands, parameters=found)


def square_root_bands(bands: int) -> Column:
    """Return the first `bands` numbers of A's Toeplitz square root, scaled to norm 1.

    Example:
        >>> (square_root_bands(3) * 8 / square_root_bands(3)[0]).tolist()
        [8.0, 4.0, 3.0]
    """
    if bands < 1:
        raise ConfigError(f"bands: expected at least 1, got {bands}")
    steps = np.arange(1, bands)
    column = np.cumprod(np.concatenate([[1.0], (2 * steps - 1) / (2 * steps)]))
    return column / float(np.linalg.norm(column))


def mean_squared_error(column: Column, steps: int) -> float:
    """Return the mean over `steps` releases of the variance of the running sum's noise, at noise multiplier 1."""
    return _error(column, steps)[0]


def optimal_bands(bands: int, steps: int) -> Column:
    """Return the column of norm 1 that makes the running sums' noise least, found from the square root's.

    Needs SciPy, which comes with dp-accounting.

    Args:
        bands: how many; 1 is independent noise.
        steps: the releases that the run is planned for.

    Raises:
        ConfigError: if one is below 1.

    Example:
        >>> column = optimal_bands(8, 64)
        >>> mean_squared_error(column, 64) < mean_squared_error(square_root_bands(8), 64)
        True
    """
    from scipy.optimize import minimize

    if steps < 1:
        raise ConfigError(f"bands for a run: expected at least 1 release, got {steps}")
    bands = min(bands, steps)
    start = square_root_bands(bands)
    if bands == 1:
        return start
    found = minimize(lambda c: _scaled_error(c, steps), start, jac=True, method="L-BFGS-B", options={"maxiter": 500})
    best = np.asarray(found.x, np.float64)
    best = best / float(np.linalg.norm(best))
    return best if best[0] > 0 and mean_squared_error(best, steps) <= mean_squared_error(start, steps) else start


def _inverse(column: Column, steps: int) -> Column:
    """Return the first column of C⁻¹, float64[steps]."""
    out = np.zeros(steps)
    out[0] = 1 / column[0]
    rest = column[1:]
    for n in range(1, steps):
        back = min(n, len(rest))
        out[n] = -float(rest[:back] @ out[n - back : n][::-1]) / column[0]
    return out


def _error(column: Column, steps: int) -> tuple[float, Column, Column]:
    inverse = _inverse(column, steps)
    sums = np.cumsum(inverse)  # the first column of A·C⁻¹
    left = (steps - np.arange(steps)) / steps
    return float(left @ sums**2), inverse, sums


def _scaled_error(column: Column, steps: int) -> tuple[float, Column]:
    """Return error × norm², which does not change with the column's scale, and its gradient."""
    if not column[0] > 0:
        return np.inf, np.zeros_like(column)
    with np.errstate(over="ignore", invalid="ignore"):  # a step too far: the search turns back from what is not finite
        return _at(column, steps)


def _at(column: Column, steps: int) -> tuple[float, Column]:
    error, inverse, sums = _error(column, steps)
    slope = 2 * (steps - np.arange(steps)) / steps * sums
    through = np.convolve(sums, inverse)[:steps]
    gradient = np.array([-float(slope[j:] @ through[: steps - j]) for j in range(len(column))])
    norm = float(column @ column)
    return error * norm, gradient * norm + 2 * error * column
