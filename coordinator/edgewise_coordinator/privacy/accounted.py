"""A promise in force, whoever adds the noise: what devices are told, what was released, and what that costs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgewise_coordinator.privacy.accounting import Spent
from edgewise_coordinator.privacy.base import Promise
from edgewise_coordinator.privacy.ledger import Ledger, Release
from edgewise_wire.errors import RunError
from edgewise_wire.messages import Assignment, PrivacyTerms

FILE = "privacy.sqlite"
ROOM = 1e-9  # a budget that was planned for is not passed by the last bit of a float


class AccountedRounds:
    """One run's releases; they are in its ledger, and count as spent from there on.

    Args:
        promise: to the devices.
        directory: of the run; the ledger is made in it.

    Raises:
        ConfigError: if the run began under other terms.
    """

    def __init__(self, promise: Promise, directory: Path) -> None:
        self._promise = promise
        self.ledger = Ledger(directory / FILE)
        self.ledger.settle_terms(promise.terms())
        self._run = self.ledger.name_of_run()
        self._asked = [release.asked for release in self.ledger.releases()]

    def close(self) -> None:
        """Close the ledger."""
        self.ledger.close()

    @property
    def clip(self) -> float:
        """The clipping norm of the next round."""
        raise NotImplementedError

    @property
    def next_step(self) -> int:
        """The number that the next release will have: rounds that release nothing are not counted."""
        return len(self._asked) + 1

    def number(self, round_id: int, count: int) -> int:
        """Return the number of the release that a round is for."""
        found = self.ledger.of_round(round_id)
        return self.next_step if found is None else found.step

    def ask(self, assignment: Assignment, round_id: int) -> Assignment:
        """Return a training assignment with what the device is promised and asked."""
        p = self._promise
        terms = PrivacyTerms(
            p.name, p.noise_multiplier, self.number(round_id, 0), p.separation, p.asks_within_norm, self._run,
            p.participations,
        )  # fmt: skip
        return replace(assignment, privacy=terms)

    def spent(self, further: Sequence[int] = ()) -> Spent:
        """Return what was spent, and `further` releases that asked so many devices each."""
        return self._promise.cost([*self._asked, *further])

    def affords(self, asked: int) -> bool:
        """Return whether one more release that asks so many devices stays within the budget."""
        return self.spent([asked]).epsilon <= self._promise.epsilon * (1 + ROOM)

    def begin(self, round_id: int, key: bytes | None, clip: float, reports: int, asked: int) -> Release:
        """Return a round's release, recorded now if it was not before: it counts as spent from here on.

        Raises:
            RunError: if it would pass the budget.
            UnavailableError: if the disk refuses.
        """
        found = self.ledger.of_round(round_id)
        if found is not None:
            return found
        if not self.affords(asked):
            raise RunError(f"the privacy budget of {self._promise.epsilon:g} would be passed")
        made = self.ledger.begin(round_id, key, clip, self._promise.noise_multiplier, reports, asked)
        self._asked.append(asked)
        return made

    def spend(self, round_id: int, reports: int, asked: int) -> None:
        """Record that a sum which devices have noised is about to be learned; done again, it counts once.

        Raises:
            RunError: if it would pass the budget.
            UnavailableError: if the disk refuses.
        """
        self.begin(round_id, None, self.clip, reports, asked)

    def committed(self, round_id: int) -> None:
        """Do nothing: the coordinator has no secret of it."""

    def settle(self, committed: Callable[[int], bool]) -> None:
        """Do nothing."""

    def figures(self, round_id: int) -> dict[str, Any]:
        """Return what a finished round's row says: the guarantee of everything released so far, and what it rests on.

        Empty for a round that released nothing.
        """
        found = self.ledger.of_round(round_id)
        return {} if found is None else self._told(found)

    def standing(self) -> dict[str, Any]:
        """Return the newest such figures."""
        found = self.ledger.last()
        return {} if found is None else self._told(found)

    def _told(self, found: Release) -> dict[str, Any]:
        p, spent = self._promise, self._promise.cost(self._asked[: found.step])
        return {
            "epsilon": _finite(spent.epsilon), "delta": spent.delta, "zcdp": _finite(spent.rho),
            "mechanism": p.kind, "noise_multiplier": found.noise, "clip_norm": found.clip,
            "releases": found.step, "budget": _finite(p.epsilon), "assumes": p.assumptions,
        }  # fmt: skip


def _finite(value: float) -> float | None:
    """Return a number as JSON has it: there is no infinity."""
    return value if math.isfinite(value) else None
