"""What shrinks an update before it is aggregated; transforms chain by multiplying.

Each is a function of the update's norm and staleness alone, so it can be worked out again after a restart, and it is
applied while the update streams by: `factor` of `Spooled`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from edgewise_wire.errors import ConfigError


class Arrival(NamedTuple):
    """What is known of an update that came in: its L2 norm, and how many versions the model has moved on since."""

    norm: float
    staleness: int = 0


UpdateTransform: TypeAlias = Callable[[Arrival], float]
"""`transform(arrival) -> factor` in (0, 1], by which every element is multiplied."""


def unchanged(arrival: Arrival) -> float:
    """Return 1: the update counts as it is."""
    return 1.0


def norm_bound(limit: float) -> UpdateTransform:
    """Return the transform that shrinks an update to an L2 norm of `limit` (Sun et al. 2019, §4.2: norm thresholding).

    Raises:
        ConfigError: if the limit is not a positive number.

    Example:
        >>> norm_bound(2.0)(Arrival(norm=8.0))
        0.25
    """
    if not 0 < limit < math.inf:
        raise ConfigError(f"norm bound: expected a positive number, got {limit}")

    def transform(arrival: Arrival) -> float:
        return 1.0 if arrival.norm <= limit else limit / arrival.norm

    return transform


def staleness_discount(arrival: Arrival) -> float:
    """Return 1/√(1 + τ) (Nguyen et al. 2022, §5: s(τ), which keeps a straggler from pulling the model back).

    Example:
        >>> staleness_discount(Arrival(norm=1.0, staleness=3))
        0.5
    """
    return 1.0 / math.sqrt(1.0 + arrival.staleness)


def chain(*transforms: UpdateTransform) -> UpdateTransform:
    """Return the transform that applies all of them.

    Example:
        >>> chain(norm_bound(2.0), staleness_discount)(Arrival(norm=4.0, staleness=3))
        0.25
    """

    some = [one for one in transforms if one is not unchanged]
    if len(some) < 2:
        return some[0] if some else unchanged

    def transform(arrival: Arrival) -> float:
        return math.prod(one(arrival) for one in some)

    return transform
