"""Coming back after a stop: the rounds that were under way go on, with every report that was recorded."""

from __future__ import annotations

from edgewise_coordinator.active_round import ActiveRound
from edgewise_coordinator.context import Context
from edgewise_coordinator.machine import Participant, Phase, Status
from edgewise_coordinator.model import Model
from edgewise_coordinator.opening import Opening
from edgewise_coordinator.state import RoundRow
from edgewise_wire.messages import Kind


class Resuming:
    """Takes up what SQLite and the spool say. A round that was closing has that phase, and is to be closed at once."""

    def __init__(self, context: Context, model: Model, opening: Opening) -> None:
        self._context = context
        self._model = model
        self._opening = opening

    def carried(self) -> None:
        """Take up the devices at work for a buffer."""
        if self._context.settings.buffer is not None:
            self._context.rounds.carried = self._owing(self._context.settings.buffer.max_staleness)

    def round(self, kind: Kind) -> ActiveRound | None:
        """Take up the round of this kind that was under way, if there was one; a buffer waits behind its evaluation."""
        row = self._context.store.unfinished_round(kind)
        if row is None:
            return None
        rounds = self._context.rounds
        rounds.waiting = rounds.front
        current = rounds.front = self._opening.round(row.kind, row.round_id)
        if current.buffered:
            self._restore_buffer(current)
        elif row.phase is not Phase.SELECTION:
            self._restore_cohort(current, row)
        if row.phase is Phase.CLOSING:
            current.machine.phase = Phase.CLOSING
        return current

    def _owing(self, max_staleness: int) -> list[Participant]:
        """Return who may be at work for a buffer; not those at work on what a rollback left behind."""
        version = self._model.version
        line = self._model.versions.lineage(version)
        owing = [p for p in self._context.store.at_work(version - max_staleness) if p.version in line]
        for participant in owing:
            participant.since = self._context.clock.now()
        return owing

    def _restore_cohort(self, current: ActiveRound, row: RoundRow) -> None:
        machine = current.machine
        machine.phase, machine.goal = Phase.CONFIGURATION, row.goal
        for participant in self._context.store.participants(row.round_id):
            participant.since = self._context.clock.now()
            machine.participants[participant.device] = participant
            if participant.status.live:
                self._context.fleet.take(participant.device, current.number)
        if row.kind is Kind.TRAIN:
            self._add_reports(current)

    def _restore_buffer(self, current: ActiveRound) -> None:
        for participant in self._context.rounds.carried:
            self._context.fleet.take(participant.device, 0)  # it was counted when it was assigned
        for report in self._context.store.reports(current.round_id):
            version = self._context.store.version_of(report.round_id)
            current.machine.participants[report.device] = Participant(
                report.device, report.attempt, Status.REPORTED, round_id=report.round_id, version=version
            )
        self._add_reports(current)

    def _add_reports(self, current: ActiveRound) -> None:
        """Add what was recorded: it was checked when it came in, and the order does not matter."""
        for report in self._context.store.reports(current.round_id):
            stale = current.machine.staleness(report.device)
            current.collection.add(current.collection.weigh(current.spool / report.file, report, stale, checked=True))
