"""The seam between a round and its way of collecting: plain updates, masked ones, nothing at all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol, TypeAlias

from edgewise_coordinator.algorithms.base import Aggregate
from edgewise_coordinator.machine import Action, RoundMachine
from edgewise_coordinator.spooled import Spooled
from edgewise_coordinator.state import Report
from edgewise_wire.errors import InputError
from edgewise_wire.messages import Assignment, Body, UploadRequest


class CollectionError(InputError):
    """A round has its reports and cannot be finished with them: it is abandoned, with these words as the reason."""


class Pooled(NamedTuple):
    """What a sum says of all its devices together, where no report says it of one: examples, mean training loss.

    The loss is `None` in a sum that does not tell it.
    """

    examples: int
    loss: float | None


class Keep(NamedTuple):
    """Record a report whose update is whole and synced elsewhere, then add and acknowledge it."""

    report: Report
    update: Spooled


class Refuse(NamedTuple):
    """Turn a report down."""

    device: str
    attempt: int
    reason: str


class Late(NamedTuple):
    """A device wants to report to a round in which it does not count any more, or does already."""

    device: str
    round_id: int
    attempt: int


Collected: TypeAlias = "Action | Keep | Refuse | Late"
"""What a way of collecting may ask for."""


class Collection(Protocol):
    """One round's way from reports to an aggregate, made when the round begins and made anew when it is resumed.

    The round's machine decides who takes part and when enough reports are in; the upload desk and safekeeping bring
    every update in whole, synced and recorded. What an update looks like, which further messages it takes and what all
    of them come to is decided here.

    Law: `finish` depends on which updates were added and not on their order, bit for bit. Whatever else it depends on
    must be recorded before the device that said it is answered: a killed coordinator begins again from what was.
    """

    @property
    def terms(self) -> int:
        """How many updates were added."""

    @property
    def pooled(self) -> Pooled | None:
        """What the sum says of all devices, where reports say nothing of themselves; else, and before, `None`."""

    @property
    def update_bytes(self) -> int:
        """How long an update is as it travels."""

    def ask(self, template: Assignment, device: str) -> Assignment:
        """Return an assignment with what this way of collecting asks of a device."""

    def check(self, request: UploadRequest) -> None:
        """Check that a device announces what it was asked for. Raises InputError if it does not."""

    def weigh(self, file: Path, report: Report, staleness: int, *, checked: bool) -> Spooled:
        """Return a spooled update as a term of the aggregate.

        Args:
            file: the update as the device sent it.
            report: what the device says of it, and the round of its assignment.
            staleness: how many versions the model has moved on since.
            checked: whether it was looked at before it was recorded, so that it need not be again.

        Raises:
            InputError: if it cannot be aggregated.
            ProtocolError: if its bytes mean nothing.
        """

    def add(self, update: Spooled) -> None:
        """Add an update that was recorded."""

    def hear(self, device: str, round_id: int, body: Body) -> bool:
        """Take a message that only this way of collecting knows; return whether it was one."""

    def tick(self, machine: RoundMachine) -> Sequence[Collected]:
        """Do what is due while the round runs or is being closed, and return what must happen to participants."""

    def forget(self, device: str) -> None:
        """Drop what a device has sent so far: its report no longer counts."""

    def finish(self, reports: Sequence[Report]) -> Aggregate | None:
        """Return what the round comes to, or `None` as long as it takes further messages; it is asked at every tick.

        Raises:
            CollectionError: if it will never come to anything.
        """

    def deadline(self) -> float:
        """Return when `tick` or `finish` must be called next, even if nothing happens; infinity for never."""

    def end(self) -> None:
        """Let go of everything: the round is over, and recorded as what it came to."""
