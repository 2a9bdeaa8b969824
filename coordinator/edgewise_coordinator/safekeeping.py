"""Reports that have come in: checked, made safe together, counted, and only then acknowledged.

The order is the promise that nothing acknowledged is lost: spool, sync, record, fold, say so. What comes in together is
made safe together, because a disk takes as long for one sync as for many at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgewise_coordinator.active_round import ActiveRound
from edgewise_coordinator.answers import Answers
from edgewise_coordinator.context import Context
from edgewise_coordinator.faults import FaultPoint
from edgewise_coordinator.spooled import Spooled
from edgewise_coordinator.state import WITHIN_NORM, Report
from edgewise_wire.errors import InputError, ProtocolError
from edgewise_wire.messages import UploadRequest


@dataclass(frozen=True, slots=True)
class Arrived:
    """A report that may be recorded: `update` is its term of the sum, `None` for an evaluation."""

    current: ActiveRound
    round_id: int
    report: Report
    update: Spooled | None = None


class Safekeeping:
    """Takes reports in and, when told to `settle`, makes them safe and answers their devices."""

    def __init__(self, context: Context, answers: Answers) -> None:
        self._context = context
        self._answers = answers
        self._arrived: list[Arrived] = []

    def update(self, device: str, request: UploadRequest, file: Path) -> None:
        """Take in an update that is whole and synced; a bad one is refused at once."""
        current = self._context.rounds.find(device, request.attempt)
        if current is None:
            return
        attempt, round_id = request.attempt, current.round_of(device)
        report = Report(
            device, attempt, request.examples, request.loss, request.update.size, file.name,
            {WITHIN_NORM: 1.0} if request.within_norm else {}, round_id,
        )  # fmt: skip
        try:
            update = current.collection.weigh(file, report, current.machine.staleness(device), checked=False)
        except (InputError, ProtocolError) as error:
            file.unlink(missing_ok=True)
            self._answers.refuse(current, device, attempt, str(error))
            return
        self._arrived.append(Arrived(current, round_id, report, update))

    def keep(self, current: ActiveRound, report: Report, update: Spooled) -> None:
        """Take in a report whose update an aggregator has checked and synced."""
        self._arrived.append(Arrived(current, report.round_id, report, update))

    def refuse(self, device: str, request: UploadRequest, reason: str) -> None:
        """Turn down an update that is whole and is not the one that its device announced."""
        current = self._context.rounds.find(device, request.attempt)
        if current is not None:
            self._answers.refuse(current, device, request.attempt, reason)

    def evaluation(self, current: ActiveRound, round_id: int, report: Report) -> None:
        """Take in an evaluation that was checked."""
        self._arrived.append(Arrived(current, round_id, report))

    def settle(self) -> None:
        """Sync and record what has come in, then fold it in and acknowledge it.

        Raises:
            UnavailableError: if the disk refuses. What is not recorded is not acknowledged: its device says it again.
        """
        try:
            for current in self._context.rounds.all:
                current.desk.settle()
        finally:
            self._record()

    def _record(self) -> None:
        arrived, self._arrived = self._arrived, []
        if not arrived:
            return
        rows = [(a.round_id, a.report, a.current.round_id if a.current.buffered else None) for a in arrived]
        for one, is_new in zip(arrived, self._context.store.add_reports(rows), strict=True):
            self._count(one, is_new)

    def _count(self, one: Arrived, is_new: bool) -> None:
        self._context.fault(FaultPoint.AFTER_REPORT_ROW)
        if is_new and one.update is not None:
            one.current.collection.add(one.update)
        self._context.fault(FaultPoint.AFTER_FOLD)
        self._answers.accept(one.current, one.report.device, one.report.attempt)
