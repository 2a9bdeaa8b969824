"""What chance may do to a statistic: limits with a stated false-alarm rate, for tests that draw anew every time.

Each limit is passed by chance in fewer than one run in 10^11. They are bounds that hold for every sample size, not
asymptotic ones, but where said.
"""

from __future__ import annotations

import math
from statistics import NormalDist

FALSE_ALARM = 1e-11  # of each statistic; a test with thirty of them is below the 1e-9 that we ask for


def deviations() -> float:
    """Return how many standard errors a normal number stays within, either way.

    Example:
        >>> round(deviations(), 2)
        6.81
    """
    return -NormalDist().inv_cdf(FALSE_ALARM / 2)


def mean_square(count: int) -> tuple[float, float]:
    """Return between what the mean square of so many independent standard normals lies.

    Laurent and Massart 2000, lemma 1: both tails of chi-square with `count` degrees of freedom.
    """
    t = math.log(2 / FALSE_ALARM)
    return max(0.0, 1 - 2 * math.sqrt(t / count)), 1 + 2 * math.sqrt(t / count) + 2 * t / count


def chi_square(degrees: int) -> float:
    """Return what chi-square stays below (Laurent and Massart 2000, lemma 1).

    Pearson's statistic of counts is near it from some twenty expected in a bin; the lemma leaves it a tenth to spare.
    """
    t = math.log(1 / FALSE_ALARM)
    return degrees + 2 * math.sqrt(degrees * t) + 2 * t


def kolmogorov() -> float:
    """Return what √n times the largest distance of an empirical distribution from the true one stays below.

    Massart 1990, for every n and every distribution: P(√n·D > c) ≤ 2·exp(−2c²).

    Example:
        >>> round(kolmogorov(), 2)
        3.61
    """
    return math.sqrt(math.log(2 / FALSE_ALARM) / 2)
