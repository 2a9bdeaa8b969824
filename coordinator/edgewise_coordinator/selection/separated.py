"""Minimum separation: a device takes part at most once in m training rounds.

A device that is drawn often tells more about itself than one that is drawn seldom; privacy accounting over a bounded
participation (DP-FTRL, Kairouz et al. 2021) needs this bound.
"""

from __future__ import annotations

from dataclasses import replace

from edgewise_coordinator.selection.base import Candidate, Selection
from edgewise_coordinator.selection.uniform import uniform
from edgewise_wire.errors import ConfigError


def separated(rounds: int, then: Selection = uniform) -> Selection:
    """Return the strategy that draws as `then` does, among devices not selected in the last `rounds` − 1 rounds.

    Args:
        rounds: m, at least 1; 1 is `then` itself.
        then: how to draw among those who may take part.

    Raises:
        ConfigError: if m is below 1.

    Example:
        >>> strategy = separated(3)
        >>> [strategy.eligible(Candidate("a", last_round=4), number) for number in (5, 6, 7)]
        [False, False, True]
    """
    if rounds < 1:
        raise ConfigError(f"minimum separation: expected at least 1 round, got {rounds}")
    if rounds == 1:
        return then

    def eligible(candidate: Candidate, number: int) -> bool:
        gap = number - candidate.last_round  # 0 where rounds that came to nothing are not counted: it may try again
        apart = candidate.last_round == 0 or gap == 0 or gap >= rounds
        return apart and (then.eligible is None or then.eligible(candidate, number))

    return replace(then, name=f"{then.name}, at most once in {rounds} rounds", eligible=eligible)
