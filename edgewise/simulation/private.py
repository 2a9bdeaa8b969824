"""A promise of privacy in a simulation: the coordinator's clipping, noise and accounting, drawn from the run's seed.

The noise is the real one in everything but its secret: its keys are a function of (seed, release), so that the same
seed gives the same model again. A model that was simulated is therefore promised to nobody.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from edgewise.simulation.jobs import Done
from edgewise_coordinator.privacy.accounted import ROOM
from edgewise_coordinator.privacy.release import GRID, Units, add_noise, forget, grid_sensitivity, make_noise
from edgewise_coordinator.privacy.settings import PrivacySettings
from edgewise_wire.crypto.keystream import KEY_BYTES
from edgewise_wire.files import make_folder
from edgewise_wire.weights import Flat

FOLDER = "noise"  # vectors that later releases need


class Spent(NamedTuple):
    """What a run has released: how many devices each release asked, and the norm that the next round clips to."""

    asked: tuple[int, ...] = ()
    clip: float = 0.0


class PrivateSimulation:
    """One simulation's promise; what was released is in the simulation's state.

    Args:
        promise: what devices are promised.
        directory: of the run; noise that later releases need is kept in it.
        parameters: of the model.
        seed: of the run.
    """

    def __init__(self, promise: PrivacySettings, directory: Path, parameters: int, seed: int) -> None:
        self.promise = promise
        self._folder = directory / FOLDER
        self._size = parameters
        self._seed = seed

    def clip(self, spent: Spent) -> float:
        """Return the clipping norm of the next round."""
        return spent.clip or self.promise.clipping.first

    def encoding(self, spent: Spent, plain: str) -> str:
        """Return the name of the encoding that clips to that norm, and then encodes as `plain` does."""
        first = f"clip-{self.clip(spent):g}"
        return first if plain in ("", "float32") else f"{first}+{plain}"

    def affords(self, spent: Spent, asked: int) -> bool:
        """Return whether one more release that asks so many devices stays within the budget."""
        return self.promise.cost([*spent.asked, asked]).epsilon <= self.promise.epsilon * (1 + ROOM)

    def release(self, spent: Spent, total: Units, done: Sequence[Done], asked: int) -> tuple[Flat, Spent]:
        """Return the mean of a round's clipped updates with the noise that is right for them, and what is spent then.

        Args:
            spent: before it.
            total: the sum of the updates in multiples of the grid, int64[parameters].
            done: what came of each device whose update is in it.
            asked: how many devices the round selected.
        """
        p, number, clip = self.promise, len(spent.asked) + 1, self.clip(spent)
        if number > 1:  # only now: a run that goes on makes this release again, and may have to make the last one
            forget(p.mechanism.step(number - 1), self._folder)
        drawn = make_noise(p.mechanism.step(number), self._key(number), self._size + 1, make_folder(self._folder))
        deviation = p.clipping.update_noise(p.noise_multiplier) * grid_sensitivity(clip, self._size)
        mean: Flat = (add_noise(total, drawn[:-1], deviation) * (GRID / len(done))).astype(np.float32)
        if p.clipping.asks:
            within = round((sum(one.within for one in done) + p.clipping.bit_noise * float(drawn[-1])) / GRID) * GRID
            clip = p.clipping.following(clip, within / len(done))
        return mean, Spent((*spent.asked, asked), clip)

    def figures(self, spent: Spent, clip: float) -> dict[str, Any]:
        """Return what a round's row says: the guarantee of everything released so far, and what it rests on."""
        p, cost = self.promise, self.promise.cost(list(spent.asked))
        return {
            "epsilon": _finite(cost.epsilon), "delta": cost.delta, "zcdp": _finite(cost.rho), "mechanism": p.kind,
            "noise_multiplier": p.noise_multiplier, "clip_norm": clip, "releases": len(spent.asked),
            "budget": _finite(p.epsilon), "assumes": p.assumptions,
        }  # fmt: skip

    def _key(self, number: int) -> bytes:
        return hashlib.sha256(f"edgewise simulated noise {self._seed} {number}".encode()).digest()[:KEY_BYTES]


def _finite(value: float) -> float | None:
    """Return a number as JSON has it: there is no infinity."""
    return value if math.isfinite(value) else None
