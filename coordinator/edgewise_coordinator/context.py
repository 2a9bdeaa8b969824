"""What the parts of a coordinator share. `server.Coordinator` makes it once and hands it to each of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from edgewise_coordinator.faults import FaultHook
from edgewise_coordinator.fleet import Fleet
from edgewise_coordinator.link import Link
from edgewise_coordinator.open_rounds import OpenRounds
from edgewise_coordinator.pace import Pace
from edgewise_coordinator.pause import Pause
from edgewise_coordinator.privacy.base import NoPrivacy, Privacy
from edgewise_coordinator.publisher import BlobPublisher
from edgewise_coordinator.recipe import Recipe
from edgewise_coordinator.selection.base import Selection
from edgewise_coordinator.settings import Settings
from edgewise_coordinator.state import StateStore
from edgewise_coordinator.sweeper import Sweeper
from edgewise_wire.artifact import Artifact
from edgewise_wire.clock import Clock


@dataclass(frozen=True, slots=True)
class Context:
    """What the operator decided, the ways to disk and broker, and what is going on now."""

    artifact: Artifact
    settings: Settings
    directory: Path
    recipe: Recipe
    selection: Selection
    pace: Pace
    clock: Clock
    fault: FaultHook
    link: Link
    publisher: BlobPublisher
    store: StateStore
    pause: Pause
    fleet: Fleet
    sweeper: Sweeper
    privacy: Privacy = field(default_factory=NoPrivacy)
    rounds: OpenRounds = field(default_factory=OpenRounds)

    @property
    def bytes_down(self) -> int:
        """Payload bytes handed to the broker so far: messages to devices, and each blob once."""
        return self.link.bytes_down + self.publisher.bytes_published
