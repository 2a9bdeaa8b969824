"""The shape that every aggregator has: updates are checked, added as they arrive, and read once at the end."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from edgewise_coordinator.spooled import Spooled
from edgewise_wire.errors import InputError
from edgewise_wire.weights import Flat


class Aggregation(Protocol):
    """One round's aggregate while it grows.

    Law: `result` depends on which updates were added and not on their order, bit for bit, so that a round which was
    resumed equals one that was not.
    """

    @property
    def terms(self) -> int:
        """How many updates were added."""

    def check(self, piece: Flat, weight: float, at: int = 0) -> None:
        """Check that a piece of an update, elements `at` and on, could be added. Raises InputError if it could not."""

    def add(self, update: Spooled) -> None:
        """Add an update whose pieces were checked."""

    def result(self) -> Flat:
        """Return the aggregate, float32[size]. Raises InputError if nothing was added."""


class Aggregator(NamedTuple):
    """`start(size) -> Aggregation`. `least` is the fewest reports it makes sense with; `robust` ones ignore weights."""

    name: str
    start: Callable[[int], Aggregation]
    least: int = 1
    robust: bool = False


def check_finite(piece: Flat) -> None:
    """Check that every value is finite.

    Raises:
        InputError: if one is not.
    """
    # A NaN makes the maximum NaN, and the comparison false; no temporary is made.
    if len(piece) and not max(float(piece.max()), -float(piece.min())) < float("inf"):
        raise InputError("update: expected finite values, got NaN or infinity")
