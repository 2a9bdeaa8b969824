"""Coming back after a stop: the rounds that were under way go on, with every report that was recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgewise_coordinator.active_round import ActiveRound
from edgewise_coordinator.machine import Participant, Phase, Status
from edgewise_coordinator.opening import open_round
from edgewise_coordinator.state import RoundRow
from edgewise_wire.messages import Kind

if TYPE_CHECKING:
    from edgewise_coordinator.server import Coordinator


def resume(server: Coordinator) -> None:
    """Take up what SQLite and the spool say; a round that was closing is closed at once."""
    if server.settings.buffer is not None:
        server.carried = _owing(server, server.settings.buffer.max_staleness)
    for kind in (Kind.TRAIN, Kind.EVALUATE):
        row = server.store.unfinished_round(kind)
        if row is not None:
            server.waiting = server.round  # a buffer, behind its evaluation
            _take_up(server, row)
    if server.carried and server.round is None:
        server.begin_next()  # before anything is read: devices are at work for a buffer that has no row yet


def _owing(server: Coordinator, max_staleness: int) -> list[Participant]:
    """Return the devices that may be at work for a buffer; not those at work on what a rollback left behind."""
    line = server.versions.lineage(server.version)
    owing = [p for p in server.store.at_work(server.version - max_staleness) if p.version in line]
    for participant in owing:
        participant.since = server.clock.now()
    return owing


def _take_up(server: Coordinator, row: RoundRow) -> None:
    current = server.round = open_round(server, row.kind, row.round_id)
    if current.buffered:
        _restore_buffer(server, current)
    elif row.phase is not Phase.SELECTION:
        _restore_cohort(server, current, row)
    if row.phase is Phase.CLOSING:
        current.machine.phase = Phase.CLOSING
        server.close_round(current)


def _restore_cohort(server: Coordinator, current: ActiveRound, row: RoundRow) -> None:
    machine = current.machine
    machine.phase, machine.goal = Phase.CONFIGURATION, row.goal
    for participant in server.store.participants(row.round_id):
        participant.since = server.clock.now()
        machine.participants[participant.device] = participant
        if participant.status.live:
            server.fleet.take(participant.device, current.number)
    if row.kind is Kind.TRAIN:
        _fold_reports(server, current)


def _restore_buffer(server: Coordinator, current: ActiveRound) -> None:
    for participant in server.carried:
        server.fleet.take(participant.device, 0)  # it was counted when it was assigned
    for report in server.store.reports(current.round_id):
        version = server.store.version_of(report.round_id)
        current.machine.participants[report.device] = Participant(
            report.device, report.attempt, Status.REPORTED, round_id=report.round_id, version=version
        )
    _fold_reports(server, current)


def _fold_reports(server: Coordinator, current: ActiveRound) -> None:
    """Add what was recorded to the sum: it was checked when it came in, and the order does not matter."""
    for report in server.store.reports(current.round_id):
        file = current.spool / report.file
        server.fold(current, server.weigh(current, report.device, file, report.examples, None))
