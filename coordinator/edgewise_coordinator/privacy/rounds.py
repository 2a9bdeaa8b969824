"""Private rounds whose noise the coordinator adds: the noised mean, made again after a crash in the same bits."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from edgewise_coordinator.privacy.accounted import AccountedRounds
from edgewise_coordinator.privacy.ledger import Release
from edgewise_coordinator.privacy.release import GRID, Units, add_noise, forget, grid_sensitivity, make_noise
from edgewise_coordinator.privacy.settings import PrivacySettings
from edgewise_coordinator.state import WITHIN_NORM
from edgewise_wire.crypto.keystream import KEY_BYTES
from edgewise_wire.errors import ConfigError
from edgewise_wire.files import make_folder
from edgewise_wire.weights import Flat

FOLDER = "noise"  # vectors that later releases need: secret, like the keys


class Counted(Protocol):
    """The part of a report that a private round looks at."""

    @property
    def measures(self) -> dict[str, float]:
        """`within_norm` where it was asked."""


class PrivateRounds(AccountedRounds):
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
        super().__init__(settings, directory)

    @property
    def clip(self) -> float:
        """The clipping norm of the next round."""
        last = self.ledger.last()
        return self.settings.clipping.first if last is None or last.next_clip is None else last.next_clip

    def encoding(self, plain: str) -> str:
        """Return the name of the encoding that clips to the next round's norm and then encodes as `plain` does."""
        first = f"clip-{self.clip:g}"
        return first if plain in ("", "float32") else f"{first}+{plain}"

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
        found = self.ledger.of_round(round_id) or self.begin(round_id, fresh_key(), clip, len(reports), asked)
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

    def _follow_norm(self, found: Release, reports: Sequence[Counted], noise: float) -> None:
        clipping = self.settings.clipping
        if clipping.asks and found.next_clip is None:
            within = sum(bool(report.measures.get(WITHIN_NORM)) for report in reports)
            noised = round((within + clipping.bit_noise * noise) / GRID) * GRID
            self.ledger.set_next_clip(found.step, clipping.following(found.clip, noised / found.reports))


def fresh_key() -> bytes:
    """Return the key of one release's noise, from the operating system's generator."""
    return secrets.token_bytes(KEY_BYTES)
