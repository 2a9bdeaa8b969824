"""A round while it runs: its machine, its upload desk, its way of collecting, and what it has to say to a device."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from edgewise_coordinator.buffered import BufferMachine
from edgewise_coordinator.collecting.base import Collection
from edgewise_coordinator.machine import Phase, RoundMachine, Status
from edgewise_coordinator.offers import Offer
from edgewise_coordinator.state import Report
from edgewise_coordinator.summary import RoundSummary
from edgewise_coordinator.uploads import UploadDesk
from edgewise_wire.messages import Assignment, BlobRef, Kind


@dataclass(slots=True)
class ActiveRound:
    """Everything that lives as long as one round.

    `started` is when this process took it up, by the monotonic clock; `begun` when it was first recorded, in seconds
    since 1970. `closing` is set once it is recorded that the round has its reports.
    """

    machine: RoundMachine
    version: int
    graph: BlobRef
    offer: Offer
    desk: UploadDesk
    spool: Path
    collection: Collection
    started: float
    begun: float
    bytes_up_before: int
    bytes_down_before: int
    closing: bool = False

    @property
    def round_id(self) -> int:
        """The round's number, which every message about it carries."""
        return self.machine.round_id

    @property
    def kind(self) -> Kind:
        """Whether it trains or evaluates."""
        return self.machine.kind

    @property
    def number(self) -> int:
        """How many training rounds there were with this one; 0 for an evaluation."""
        return self.machine.number if self.kind is Kind.TRAIN else 0

    @property
    def buffered(self) -> bool:
        """Whether devices of earlier rounds may report to it."""
        return isinstance(self.machine, BufferMachine)

    def round_of(self, device: str) -> int:
        """Return the round that messages to this device are about: that of its assignment."""
        found = self.machine.participants.get(device)
        return self.round_id if found is None else found.round_id

    def assignment(self, device: str, attempt: int, template: Assignment) -> Assignment:
        """Return what to ask of a device: the settings in `template`, this round's blobs, the time that is left."""
        return replace(
            template,
            attempt=attempt,
            kind=int(self.kind),
            graph=self.graph,
            weights=self.offer.weights,
            control=self.offer.control if template.correction else BlobRef(),
            deltas=self.offer.deltas,
            version=self.version,
            deadline=self.machine.time_left(device),
        )

    def forget(self, device: str) -> None:
        """Drop what a device has sent so far."""
        self.desk.forget(device)
        self.collection.forget(device)

    def live(self, device: str, attempt: int, round_id: int | None = None) -> bool:
        """Return whether a report of this attempt (at the assignment of round `round_id`) would still count."""
        found = self.machine.find(device, attempt)
        if not self.machine.phase.open or found is None or not found.status.live:
            return False
        return round_id is None or round_id == found.round_id

    def summary(self, reports: list[Report], seconds: float, bytes_up: int, bytes_down: int) -> RoundSummary:
        """Return what is to be told of the round now."""
        failed = Counter(p.reason for p in self.machine.participants.values() if p.status is Status.FAILED)
        examples = sum(r.examples for r in reports)
        loss = sum(r.loss * r.examples for r in reports) / examples if examples and self.kind is Kind.TRAIN else None
        return RoundSummary(
            round_id=self.round_id,
            kind=self.kind.name.lower(),
            phase=Phase.COMMITTED.value if self.machine.phase is not Phase.ABANDONED else Phase.ABANDONED.value,
            version=self.version,
            started=self.begun,
            seconds=seconds,
            selected=len(self.machine.participants),
            reported=len(reports),
            failed=dict(failed),
            examples=examples,
            train_loss=loss,
            bytes_up=bytes_up - self.bytes_up_before,
            bytes_down=bytes_down - self.bytes_down_before,
            reason=self.machine.reason,
        )
