"""What must hold of the machine while its device takes part; each condition is a plug-in of one small file.

A further one is a class with `period` and `check`, in `CONDITIONS`; its rule is a field of `Policy`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from edgewise_edge.conditions.base import Condition, Finding, Machine, Watched
from edgewise_edge.conditions.disk import Disk
from edgewise_edge.conditions.load import Load
from edgewise_edge.conditions.memory import Memory
from edgewise_edge.conditions.network import Network
from edgewise_edge.conditions.power import Power
from edgewise_edge.conditions.schedule import Hours
from edgewise_edge.conditions.temperature import Temperature
from edgewise_edge.conditions.throttling import Throttling
from edgewise_wire.clock import Clock

__all__ = ["CONDITIONS", "Condition", "Finding", "Machine", "Network", "Watched", "metered", "watch"]

CONDITIONS: Final[tuple[Callable[[Machine], Condition], ...]] = (
    Power,
    Temperature,
    Throttling,
    Load,
    Network,
    Disk,
    Memory,
    Hours,
)


def watch(machine: Machine, clock: Clock) -> tuple[Watched, ...]:
    """Return every condition of a machine, looked at by this clock."""
    return tuple(Watched(make(machine), clock) for make in CONDITIONS)


def metered(watched: Sequence[Watched]) -> bool:
    """Return whether the network costs money, by the latest look of the condition that looks at it."""
    return any(isinstance(one.condition, Network) and one.condition.metered for one in watched)
