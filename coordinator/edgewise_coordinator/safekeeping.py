"""Reports that have come in: checked, made safe together, counted, and only then acknowledged.

The order is the promise that nothing acknowledged is lost: spool, sync, record, fold, say so. What comes in together is
made safe together, because a disk takes as long for one sync as for many at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgewise_coordinator.active_round import ActiveRound
from edgewise_coordinator.faults import FaultPoint
from edgewise_coordinator.spooled import Spooled
from edgewise_coordinator.state import Report
from edgewise_wire.errors import InputError, ProtocolError
from edgewise_wire.messages import UploadRequest

if TYPE_CHECKING:
    from edgewise_coordinator.server import Coordinator


@dataclass(frozen=True, slots=True)
class Arrived:
    """A report that may be recorded: `update` is its term of the sum, `None` for an evaluation."""

    current: ActiveRound
    round_id: int
    report: Report
    update: Spooled | None = None


class Safekeeping:
    """Takes reports in and, when told to `settle`, makes them safe and answers their devices."""

    def __init__(self, server: Coordinator) -> None:
        self._server = server
        self._arrived: list[Arrived] = []

    def update(self, device: str, request: UploadRequest, file: Path) -> None:
        """Take in an update that is whole and synced; a bad one is refused at once."""
        server, current = self._server, self._round(device, request)
        if current is None:
            return
        try:
            update = server.weigh(current, device, file, request.examples, current.total.check)
        except (InputError, ProtocolError) as error:
            file.unlink(missing_ok=True)
            server.refuse(current, device, request.attempt, str(error))
            return
        report = Report(device, request.attempt, request.examples, request.loss, request.update.size, file.name)
        self._arrived.append(Arrived(current, current.round_of(device), report, update))

    def refuse(self, device: str, request: UploadRequest, reason: str) -> None:
        """Turn down an update that is whole and is not the one that its device announced."""
        current = self._round(device, request)
        if current is not None:
            self._server.refuse(current, device, request.attempt, reason)

    def evaluation(self, current: ActiveRound, round_id: int, report: Report) -> None:
        """Take in an evaluation that was checked."""
        self._arrived.append(Arrived(current, round_id, report))

    def settle(self) -> None:
        """Sync and record what has come in, then fold it in and acknowledge it.

        Raises:
            UnavailableError: if the disk refuses. What is not recorded is not acknowledged: its device says it again.
        """
        try:
            for current in self._server.open_rounds:
                current.desk.settle()
        finally:
            self._record()

    def _record(self) -> None:
        arrived, self._arrived = self._arrived, []
        if not arrived:
            return
        rows = [(a.round_id, a.report, a.current.round_id if a.current.buffered else None) for a in arrived]
        for one, is_new in zip(arrived, self._server.store.add_reports(rows), strict=True):
            self._count(one, is_new)

    def _count(self, one: Arrived, is_new: bool) -> None:
        server = self._server
        server.fault(FaultPoint.AFTER_REPORT_ROW)
        if is_new and one.update is not None:
            server.fold(one.current, one.update)
        server.fault(FaultPoint.AFTER_FOLD)
        server.accept(one.current, one.report.device, one.report.attempt)

    def _round(self, device: str, request: UploadRequest) -> ActiveRound | None:
        return next((each for each in self._server.open_rounds if each.live(device, request.attempt)), None)
