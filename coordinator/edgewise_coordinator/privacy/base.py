"""What the parts of a coordinator ask about privacy, and the answers of a run that promises none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from edgewise_coordinator.privacy.accounting import Spent
from edgewise_wire.messages import Assignment


class Promise(Protocol):
    """What an operator promises to each device of a fleet, whoever adds the noise."""

    @property
    def name(self) -> str:
        """What devices are told of the mechanism; empty where nothing is added."""

    @property
    def kind(self) -> str:
        """The mechanism's name."""

    @property
    def noise_multiplier(self) -> float:
        """The noise's standard deviation over the clipping norm."""

    @property
    def epsilon(self) -> float:
        """The budget; infinity for none."""

    @property
    def separation(self) -> int:
        """A device takes part in rounds at least so far apart."""

    @property
    def participations(self) -> int:
        """The most rounds of the run that a device takes part in, 0 for as many as fit."""

    @property
    def asks_within_norm(self) -> bool:
        """Whether devices are asked if their update was within the norm."""

    def cost(self, rounds: list[int]) -> Spent:
        """Return what releases cost; `rounds` says how many devices each of them asked."""

    @property
    def assumptions(self) -> str:
        """What the figures rest on, in a sentence."""

    def terms(self) -> dict[str, Any]:
        """Return what must not change while a run goes on."""


class Privacy(Protocol):
    """A run's promise, as those see it who need not know how it is kept."""

    def number(self, round_id: int, count: int) -> int:
        """Return the number by which selection keeps a device's rounds apart; `count` counts training rounds."""

    def ask(self, assignment: Assignment, round_id: int) -> Assignment:
        """Return a training assignment with what the device is promised and asked."""

    def affords(self, asked: int) -> bool:
        """Return whether a further round that asks so many devices stays within the budget."""

    def spend(self, round_id: int, reports: int, asked: int) -> None:
        """Record that the sum of a round is about to be learned, noised by its devices; done again, it counts once.

        Raises:
            RunError: if it would pass the budget.
        """

    def figures(self, round_id: int) -> dict[str, Any]:
        """Return what a finished round's row says of privacy; empty if it released nothing."""

    def standing(self) -> dict[str, Any]:
        """Return the newest such figures."""

    def committed(self, round_id: int) -> None:
        """Note that the version which a round made is recorded."""

    def settle(self, committed: Callable[[int], bool]) -> None:
        """After a stop: do what a killed process did not come to; `committed(round_id)` says which are recorded."""

    def close(self) -> None:
        """Let go of files."""


class NoPrivacy:
    """Promises nothing: updates count as they are."""

    def number(self, round_id: int, count: int) -> int:
        """Return the count."""
        return count

    def ask(self, assignment: Assignment, round_id: int) -> Assignment:
        """Return it as it is."""
        return assignment

    def affords(self, asked: int) -> bool:
        """Return True: there is no budget."""
        return True

    def spend(self, round_id: int, reports: int, asked: int) -> None:
        """Do nothing."""

    def figures(self, round_id: int) -> dict[str, Any]:
        """Return nothing."""
        return {}

    def standing(self) -> dict[str, Any]:
        """Return nothing."""
        return {}

    def committed(self, round_id: int) -> None:
        """Do nothing."""

    def settle(self, committed: Callable[[int], bool]) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""
