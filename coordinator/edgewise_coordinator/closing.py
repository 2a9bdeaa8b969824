"""The end of a round: its reports become a version or metrics, or it is abandoned; both are recorded at one stroke."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from edgewise_coordinator.active_round import ActiveRound
from edgewise_coordinator.answers import Answers
from edgewise_coordinator.collecting.base import CollectionError
from edgewise_coordinator.context import Context
from edgewise_coordinator.decoding import PLAIN
from edgewise_coordinator.faults import FaultPoint
from edgewise_coordinator.machine import Drop, Phase
from edgewise_coordinator.model import Made, Model
from edgewise_coordinator.reports import pool_measures
from edgewise_coordinator.state import Report
from edgewise_coordinator.summary import RoundSummary
from edgewise_wire.messages import Kind


class Result(NamedTuple):
    """What a round came to: the metrics that it measured, the version that it made, or neither."""

    metrics: dict[str, float]
    made: Made | None = None


class Closing:
    """Ends rounds. `ended(current, summary)` is called when everything of one is recorded and cleared away."""

    def __init__(
        self,
        context: Context,
        model: Model,
        answers: Answers,
        ended: Callable[[ActiveRound, RoundSummary], None],
    ) -> None:
        self._context = context
        self._model = model
        self._answers = answers
        self._ended = ended

    def close(self, current: ActiveRound) -> bool:
        """Make a version (or metrics) out of a round's reports; done again after a crash, it comes to the same.

        Returns:
            Whether the round is over; its collection may have to wait for further messages, and is asked again.
        """
        self._record_closing(current)
        reports = self._context.store.reports(current.round_id)
        try:
            result = self._come_to(current, reports)
        except CollectionError as error:
            current.machine.phase, current.machine.reason = Phase.ABANDONED, str(error)
            result = Result({})
        if result is None:
            return False
        self._end(current, result)
        return True

    def abandon(self, current: ActiveRound) -> None:
        """End a round that its machine has abandoned; nothing changes but that it is recorded."""
        self._end(current, Result({}))

    def _record_closing(self, current: ActiveRound) -> None:
        if not current.closing:
            self._context.fault(FaultPoint.BEFORE_CLOSING)
            self._context.store.close_round(current.round_id)
            current.closing = True
            self._context.fault(FaultPoint.BEFORE_AGGREGATE)

    def _come_to(self, current: ActiveRound, reports: Sequence[Report]) -> Result | None:
        return self._measured(current, reports) if current.kind is Kind.EVALUATE else self._trained(current, reports)

    def _measured(self, current: ActiveRound, reports: Sequence[Report]) -> Result:
        metrics = pool_measures(reports)
        self._context.fault(FaultPoint.AFTER_AGGREGATE)
        self._context.store.set_metrics(current.version, metrics)
        return Result(metrics)

    def _trained(self, current: ActiveRound, reports: Sequence[Report]) -> Result | None:
        aggregate = current.collection.finish(reports)
        if aggregate is None:
            return None
        exact, state = self._model.step(aggregate)
        self._context.fault(FaultPoint.AFTER_AGGREGATE)
        made = self._model.save(exact, state, current.round_id)
        self._context.fault(FaultPoint.AFTER_VERSION_FILES)
        return Result({}, made)

    def _end(self, current: ActiveRound, result: Result) -> None:
        context, machine, made = self._context, current.machine, result.made
        if machine.phase is not Phase.ABANDONED:
            machine.phase = Phase.COMMITTED
        summary = self._summary(current, result)
        row = made.row if made is not None else None
        measured = current.version if current.kind is Kind.EVALUATE else None
        context.store.end_round(
            current.round_id, machine.phase, machine.reason, context.clock.wall(), summary.as_dict(), row, measured
        )
        if made is not None:
            self._model.adopt(made)
            self._model.controls.counted(current.round_id, machine.participants.values())
            context.privacy.committed(current.round_id)
        context.fault(FaultPoint.AFTER_COMMIT)
        self._clear_away(current)
        self._ended(current, summary)

    def _summary(self, current: ActiveRound, result: Result) -> RoundSummary:
        context = self._context
        seconds = context.clock.now() - current.started
        reports = context.store.reports(current.round_id)
        summary = current.summary(reports, seconds, context.link.bytes_up, context.bytes_down)
        summary.metrics = result.metrics
        if current.collection.pooled is not None:
            summary.examples, summary.train_loss = current.collection.pooled
        summary.privacy = context.privacy.figures(current.round_id)
        if result.made is not None:
            summary.version = result.made.row.version
        return summary

    def _clear_away(self, current: ActiveRound) -> None:
        current.collection.end()
        if current.buffered:
            self._carry_over(current)
            return
        current.desk.close()
        if not self._context.settings.keep_updates:
            self._context.sweeper.sweep(current.spool)

    def _carry_over(self, current: ActiveRound) -> None:
        """What a full buffer leaves to the next one: its devices at work and their uploads; its own files go."""
        context = self._context
        context.rounds.carried = [p for p in current.machine.participants.values() if p.status.live]
        for report in () if context.settings.keep_updates else context.store.reports(current.round_id):
            (current.spool / report.file).unlink(missing_ok=True)
            (current.spool / report.file).with_suffix(PLAIN).unlink(missing_ok=True)
        if self._model.all_made:
            for p in context.rounds.carried:
                current.machine.failed(p.device, p.attempt, "the last round is over")
                self._answers.drop(current, Drop(p.device, p.attempt, "the last round is over"))
            current.desk.close()
