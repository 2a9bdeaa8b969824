"""What a selection strategy sees and returns. `docs/selection.md` shows how to add one."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from edgewise_wire.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Candidate:
    """A device that is available now.

    `last_round` is the number of the last training round it was selected for, 0 for none. Training rounds are counted
    from 1, abandoned ones too; evaluations are not counted.
    """

    device: str
    examples: int = 0
    last_round: int = 0


Choose: TypeAlias = "Callable[[Sequence[Candidate], int, np.random.Generator], list[str]]"
"""`choose(candidates, count, rng) -> devices`: at most `count` of them. `candidates` come sorted by device name."""

Eligible: TypeAlias = Callable[[Candidate, int], bool]
"""`eligible(candidate, number)`: whether it may be asked at all in training round `number`."""


@dataclass(frozen=True, slots=True)
class Selection:
    """A strategy: `choose` among the candidates for whom `eligible` holds (`None`: for all).

    Law: what is chosen is a function of the candidates and of the generator's seed, which is (seed, round): the same
    devices are chosen when a round is begun anew, and on any machine.
    """

    name: str
    choose: Choose
    eligible: Eligible | None = None

    def __call__(self, candidates: Sequence[Candidate], count: int, rng: np.random.Generator) -> list[str]:
        """Return at most `count` of the candidates, by name.

        Raises:
            ConfigError: if the strategy chose too many, one twice, or one who is not a candidate.
        """
        if count < 1 or not candidates:
            return []
        chosen = self.choose(candidates, count, rng)
        if len(chosen) > count or len(set(chosen)) < len(chosen) or not _among(chosen, candidates):
            raise ConfigError(
                f"selection {self.name!r}: expected at most {count} different devices of {len(candidates)} candidates,"
                f" got {chosen[:5]}"
            )
        return chosen


class Listed(Sequence[Candidate]):
    """Candidates that can say who is among them without being looked through, for fleets of very many."""

    @abstractmethod
    def lists(self, device: str) -> bool:
        """Return whether a device of this name is one of them."""

    @abstractmethod
    def names(self, places: Sequence[int]) -> list[str]:
        """Return the names of those at these places."""


def names_of(candidates: Sequence[Candidate], places: Sequence[int]) -> list[str]:
    """Return the names of the candidates at these places."""
    if isinstance(candidates, Listed):
        return candidates.names(places)
    return [candidates[place].device for place in places]


def _among(chosen: Sequence[str], candidates: Sequence[Candidate]) -> bool:
    if isinstance(candidates, Listed):
        return all(map(candidates.lists, chosen))
    return set(chosen) <= {c.device for c in candidates}


def round_generator(seed: int, round_id: int, draw: int = 0) -> np.random.Generator:
    """Return the generator of one round's selection: a function of (seed, round) and nothing else.

    `draw` tells the further ones of a round apart: who is asked in the place of those who failed.
    """
    return np.random.default_rng([seed, round_id, *([draw] if draw else [])])
