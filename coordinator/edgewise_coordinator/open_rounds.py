"""The rounds that devices may be at work for."""

from __future__ import annotations

from dataclasses import dataclass, field

from edgewise_coordinator.active_round import ActiveRound
from edgewise_coordinator.machine import Participant
from edgewise_coordinator.uploads import UploadDesk
from edgewise_wire.messages import Kind


@dataclass(slots=True)
class OpenRounds:
    """The round in `front`, and a buffer `waiting` behind its evaluation.

    `carried` are the devices that were at work when the last buffer was full, `desk` the one that all buffers share.
    """

    front: ActiveRound | None = None
    waiting: ActiveRound | None = None
    carried: list[Participant] = field(default_factory=list)
    desk: UploadDesk | None = None

    @property
    def all(self) -> list[ActiveRound]:
        """Return those that there are."""
        return [current for current in (self.front, self.waiting) if current is not None]

    def find(self, device: str, attempt: int, round_id: int | None = None) -> ActiveRound | None:
        """Return the round that a report of this attempt (at the assignment of `round_id`) would count in."""
        return next((current for current in self.all if current.live(device, attempt, round_id)), None)

    def number_for(self, device: str, default: int) -> int:
        """Return the round that messages about a device's training are about."""
        training = (current for current in self.all if current.kind is Kind.TRAIN)
        return next((current.round_of(device) for current in training), default)
