"""What a selection strategy sees and returns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np


@dataclass(frozen=True, slots=True)
class Candidate:
    """A device that is available now. `last_round` is the last one it was selected for, 0 for none."""

    device: str
    examples: int = 0
    last_round: int = 0


Selection: TypeAlias = "Callable[[Sequence[Candidate], int, np.random.Generator], list[str]]"
"""`select(candidates, count, rng) -> devices`: at most `count` of them. `candidates` come sorted by device name."""


def round_generator(seed: int, round_id: int) -> np.random.Generator:
    """Return the generator of one round's selection: a function of (seed, round) and nothing else."""
    return np.random.default_rng([seed, round_id])
