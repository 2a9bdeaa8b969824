"""Maximum participations: a device takes part in at most so many training rounds of a run.

Devices count for themselves and decline one more; not to ask them again saves both sides the words.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from edgewise_coordinator.selection.base import Candidate, Selection
from edgewise_coordinator.selection.uniform import uniform
from edgewise_wire.errors import ConfigError


def limited(most: int, taken: Callable[[], Mapping[str, int]], then: Selection = uniform) -> Selection:
    """Return the strategy that draws as `then` does, among devices that have taken part in fewer than `most` rounds.

    Args:
        most: at least 0; 0 is no limit, and `then` itself.
        taken: return in how many rounds each device took part; asked once a round.
        then: how to draw among those who may take part.

    Raises:
        ConfigError: if `most` is below 0.

    Example:
        >>> strategy = limited(2, lambda: {"a": 2, "b": 1})
        >>> [strategy.eligible(Candidate(device), 5) for device in ("a", "b", "c")]
        [False, True, True]
    """
    if most < 0:
        raise ConfigError(f"participations: expected at least 0, got {most}")
    if not most:
        return then
    known: dict[int, Mapping[str, int]] = {}

    def eligible(candidate: Candidate, number: int) -> bool:
        if number not in known:
            known.clear()
            known[number] = taken()
        return known[number].get(candidate.device, 0) < most and (
            then.eligible is None or then.eligible(candidate, number)
        )

    return replace(then, name=f"{then.name}, at most {most} times", eligible=eligible)
