"""An evaluation round: devices report sums, which are recorded whole; there is no update to collect."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from edgewise_coordinator.algorithms.base import Aggregate
from edgewise_coordinator.collecting.base import Collected, CollectionError
from edgewise_coordinator.machine import RoundMachine
from edgewise_coordinator.spooled import Spooled
from edgewise_coordinator.state import Report
from edgewise_wire.errors import InputError
from edgewise_wire.messages import Assignment, Body, UploadRequest

REFUSAL = "update: expected an evaluation, this round does not train"


class NoUpdates:
    """Refuses every update."""

    terms = 0
    pooled = None
    update_bytes = 0

    def ask(self, template: Assignment, device: str) -> Assignment:
        """Ask for nothing more."""
        return template

    def check(self, request: UploadRequest) -> None:
        """Refuse. Raises InputError, always."""
        raise InputError(REFUSAL)

    def weigh(self, file: Path, report: Report, staleness: int, *, checked: bool) -> Spooled:
        """Refuse. Raises InputError, always."""
        raise InputError(REFUSAL)

    def add(self, update: Spooled) -> None:
        """Never called: no update was weighed."""

    def hear(self, device: str, round_id: int, body: Body) -> bool:
        """Take nothing."""
        return False

    def tick(self, machine: RoundMachine) -> Sequence[Collected]:
        """Do nothing."""
        return ()

    def forget(self, device: str) -> None:
        """Do nothing: the upload desk has it all."""

    def finish(self, reports: Sequence[Report]) -> Aggregate | None:
        """Refuse: an evaluation is pooled from its reports. Raises CollectionError, always."""
        raise CollectionError(REFUSAL)

    def deadline(self) -> float:
        """Return infinity."""
        return math.inf

    def end(self) -> None:
        """Do nothing: the spool goes with the round."""
