"""Private rounds: what devices are asked, the noised mean, and what it has cost, across crashes."""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from edgewise_coordinator.privacy.accounting import Spent
from edgewise_coordinator.privacy.ledger import Ledger, Release
from edgewise_coordinator.privacy.release import GRID, Units, add_noise, forget, grid_sensitivity, make_noise
from edgewise_coordinator.privacy.settings import PrivacySettings
from edgewise_coordinator.state import WITHIN_NORM
from edgewise_wire.crypto.keystream import KEY_BYTES
from edgewise_wire.errors import ConfigError, RunError
from edgewise_wire.files import make_folder
from edgewise_wire.messages import Assignment, PrivacyTerms
from edgewise_wire.weights import Flat

FILE = "privacy.sqlite"
FOLDER = "noise"  # vectors that later releases need: secret, like the keys
ROOM = 1e-9  # a budget that was planned for is not passed by the last bit of a float


class Counted(Protocol):
    """The part of a report that a private round looks at."""

    @property
    def measures(self) -> dict[str, float]:
        """`within_norm` where it was asked."""


class PrivateRounds:
    """One run's promise in force; what it has released is in its ledger.

    Args:
        settings: the promise.
        directory: of the run; the ledger and the kept noise are made in it.
        parameters: of the model.

    Raises:
        ConfigError: if the run began under other terms.
    """

    def __init__(self, settings: PrivacySettings, directory: Path, parameters: int) -> None:
        self.settings = settings
        self._folder = make_folder(directory / FOLDER)
        self._folder.chmod(0o700)
        self._size = parameters
        self.ledger = Ledger(directory / FILE)
        self.ledger.settle_terms(settings.terms())
        self._run = self.ledger.name_of_run()
        self._asked = [release.asked for release in self.ledger.releases()]

    def close(self) -> None:
        """Close the ledger."""
        self.ledger.close()

    # Before a round --------------------------------------------------------------------------------------------------

    @property
    def next_step(self) -> int:
        """The number that the next release will have: rounds that release nothing are not counted."""
        return len(self._asked) + 1

    @property
    def clip(self) -> float:
        """The clipping norm of the next round."""
        last = self.ledger.last()
        return self.settings.clipping.first if last is None or last.next_clip is None else last.next_clip

    def encoding(self, plain: str) -> str:
        """Return the name of the encoding that clips to the next round's norm and then encodes as `plain` does."""
        first = f"clip-{self.clip:g}"
        return first if plain in ("", "float32") else f"{first}+{plain}"

    def number(self, round_id: int, count: int) -> int:
        """Return the number of the release that a round is for."""
        found = self.ledger.of_round(round_id)
        return self.next_step if found is None else found.step

    def add_to(self, assignment: Assignment, number: int) -> Assignment:
        """Return a training assignment with what the device is promised and asked."""
        s = self.settings
        terms = PrivacyTerms(s.name, s.noise_multiplier, number, s.separation, s.clipping.asks, self._run)
        return replace(assignment, privacy=terms)

    def spent(self, further: Sequence[int] = ()) -> Spent:
        """Return what was spent, and `further` releases that asked so many devices each."""
        return self.settings.cost([*self._asked, *further])

    def affords(self, asked: int) -> bool:
        """Return whether one more release that asks so many devices stays within the budget."""
        return self.spent([asked]).epsilon <= self.settings.epsilon * (1 + ROOM)

    # Its end ---------------------------------------------------------------------------------------------------------

    def mean(self, round_id: int, total: Units, clip: float, reports: Sequence[Counted], asked: int) -> Flat:
        """Return the mean of a round's clipped updates with the noise that is right for these reports.

        Done again after a crash it returns the same bits: the round's key was written down before it was used, and the
        reports of a closing round do not change.

        Args:
            round_id: the round, which has its reports.
            total: the sum of the updates in multiples of the grid, int64[parameters].
            clip: the norm that none of them is above.
            reports: those that the sum is of.
            asked: how many devices the round selected.

        Raises:
            RunError: if it would pass the budget.
            UnavailableError: if the disk refuses; the round can be closed again.
        """
        found = self.ledger.of_round(round_id)
        if found is None:
            if not self.affords(asked):
                raise RunError(f"the privacy budget of {self.settings.epsilon:g} would be passed")
            noise = self.settings.noise_multiplier
            found = self.ledger.begin(round_id, fresh_key(), clip, noise, len(reports), asked)
            self._asked.append(asked)
        if found.key is None:
            raise ConfigError(f"round {round_id}: its noise was erased when its version was recorded")
        drawn = make_noise(self.settings.mechanism.step(found.step), found.key, self._size + 1, self._folder)
        self._follow_norm(found, reports, float(drawn[-1]))
        deviation = self.settings.clipping.update_noise(found.noise) * grid_sensitivity(found.clip, self._size)
        mean: Flat = (add_noise(total, drawn[:-1], deviation) * (GRID / found.reports)).astype(np.float32)
        return mean

    def committed(self, round_id: int) -> None:
        """Erase what could take the noise out again: the version made with it is recorded."""
        found = self.ledger.of_round(round_id)
        if found is not None and found.key is not None:
            forget(self.settings.mechanism.step(found.step), self._folder)
            self.ledger.erase_key(found.step)

    def settle(self, committed: Callable[[int], bool]) -> None:
        """After a stop: erase what a killed process did not come to; `committed(round_id)` says which are recorded."""
        for release in self.ledger.releases():
            if release.key is not None and committed(release.round_id):
                self.committed(release.round_id)

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
        spent = self.settings.cost(self._asked[: found.step])
        return {
            "epsilon": _finite(spent.epsilon), "delta": spent.delta, "zcdp": _finite(spent.rho),
            "mechanism": self.settings.mechanism.name, "noise_multiplier": found.noise, "clip_norm": found.clip,
            "releases": found.step, "budget": _finite(self.settings.epsilon), "assumes": self.settings.assumptions,
        }  # fmt: skip

    def _follow_norm(self, found: Release, reports: Sequence[Counted], noise: float) -> None:
        clipping = self.settings.clipping
        if clipping.asks and found.next_clip is None:
            within = sum(bool(report.measures.get(WITHIN_NORM)) for report in reports)
            noised = round((within + clipping.bit_noise * noise) / GRID) * GRID
            self.ledger.set_next_clip(found.step, clipping.following(found.clip, noised / found.reports))


def fresh_key() -> bytes:
    """Return the key of one release's noise, from the operating system's generator."""
    return secrets.token_bytes(KEY_BYTES)


def _finite(value: float) -> float | None:
    """Return a number as JSON has it: there is no infinity."""
    return value if math.isfinite(value) else None
