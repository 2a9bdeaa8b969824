"""How much noise a secure sum carries for certain, by its terms: known without NumPy, and the same on both sides.

Every device of a noised round adds noise of one variance to each number. The sum of the fewest devices that a round
takes, less those that may be in league with the coordinator and add none, is what a guarantee counts on.
"""

from __future__ import annotations

import math

from edgewise_wire.messages import SecureTerms
from edgewise_wire.secure.form import Form
from edgewise_wire.secure.graph import CORRUPT

VARIANCE_MAX = 1e12  # of one device's noise, in steps²: the table that it is drawn from has 12 million entries


def honest(least: int, cohort: int) -> int:
    """Return how many devices of a sum add their noise for certain: the fewest, without the corrupt of a whole cohort.

    Example:
        >>> honest(80, 100), honest(2, 8)
        (75, 2)
    """
    return least - int(CORRUPT * cohort)


def rounded_norm(norm: float, numbers: int) -> float:
    """Return a bound on the norm of rounded numbers that half of all throws hold (Kairouz et al. 2021, equation 5).

    Args:
        norm: of the numbers before, in steps.
        numbers: how many there are.
    """
    root = math.sqrt(numbers)
    return min(norm + root, math.sqrt(norm * norm + numbers / 4 + norm + root / 2))


def noise_multiplier(terms: SecureTerms, numbers: int) -> float:
    """Return the noise of a sum over the largest norm of an update in it, 0 where nothing is sure.

    The standard deviation is that of the noise which honest devices add; the norm is the one after rounding, so the
    multiple of the clipping norm is never smaller.

    Args:
        terms: of a secure round.
        numbers: how many an update has.

    Raises:
        ConfigError: if the terms are impossible.
    """
    sure = honest(terms.least, terms.cohort)
    if not (terms.noise > 0 and terms.clip > 0 and terms.weight_max == 1 and sure > 0):
        return 0.0
    form = Form(terms.cohort, terms.value_bits, terms.range, terms.weight_max, terms.noise)
    return math.sqrt(sure * terms.noise) / rounded_norm(terms.clip / form.step, numbers)
