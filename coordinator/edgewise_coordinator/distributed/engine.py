"""The seam between a coordinator and whatever runs its aggregators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from edgewise_coordinator.distributed.orders import Heard, Order, Summed, Term

AGGREGATORS_MAX = 256  # a process each, and a block each of a broker's access list


class Reduction(Protocol):
    """A sum over several aggregators that is being made."""

    def poll(self) -> Summed | None:
        """Return the sum, `Lost` if it will never be one, or `None` as long as it is not known."""


class Engine(Protocol):
    """Runs aggregators, starts those again that die, carries orders to them and notices back.

    Orders to an aggregator that is not there are lost: its next incarnation is told everything again.
    """

    @property
    def names(self) -> tuple[str, ...]:
        """The aggregators' names, as they stand in topics."""

    def tell(self, name: str, orders: Sequence[Order]) -> None:
        """Send orders; never blocks."""

    def hear(self) -> list[Heard]:
        """Return what came since the last time; never blocks. An aggregator that has just started says so."""

    def reduce(self, round_id: int, terms: Mapping[str, tuple[Term, ...]]) -> Reduction:
        """Begin to add up what these aggregators hold of a round."""

    def close(self) -> None:
        """Stop them all."""
