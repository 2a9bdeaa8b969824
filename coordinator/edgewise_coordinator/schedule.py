"""Which round comes next, when, and whether there is one."""

from __future__ import annotations

from edgewise_coordinator.active_round import ActiveRound
from edgewise_coordinator.context import Context
from edgewise_coordinator.faults import FaultPoint
from edgewise_coordinator.machine import Phase
from edgewise_coordinator.model import Model
from edgewise_coordinator.opening import Opening
from edgewise_wire.messages import Kind


class Schedule:
    """Begins rounds one after the other: an evaluation where one is due, else training, until all versions are made.

    `next_at` is when the next one may begin, by the monotonic clock.
    """

    def __init__(self, context: Context, model: Model, opening: Opening) -> None:
        self._context = context
        self._model = model
        self._opening = opening
        self.next_at = context.clock.now()
        self._abandoned_in_a_row = 0

    @property
    def complete(self) -> bool:
        """Whether every version asked for, or that the privacy budget affords, exists and has been measured."""
        enough = self._model.all_made or self.budget_spent
        return enough and not self._model.evaluation_due and self._context.rounds.front is None

    @property
    def budget_spent(self) -> bool:
        """Whether one more round would pass the privacy budget."""
        return not self._context.privacy.affords(self._context.settings.cohort.target)

    @property
    def finished(self) -> bool:
        """Whether nothing more will happen: complete, or too many rounds abandoned in a row."""
        given_up = self._abandoned_in_a_row > self._context.settings.max_abandoned
        return self.complete or (self._context.rounds.front is None and given_up)

    def begin_next(self) -> None:
        """Begin the next round, if there is one and its time has come."""
        context, rounds = self._context, self._context.rounds
        if self.finished or context.clock.now() < self.next_at:
            return
        if context.settings.buffer is not None and rounds.waiting is None and not self._model.all_made:
            rounds.waiting = self._begin(Kind.TRAIN)
        if self._model.evaluation_due:
            rounds.front = self._begin(Kind.EVALUATE)
        elif rounds.waiting is not None:
            rounds.front, rounds.waiting = rounds.waiting, None
        else:
            rounds.front = self._begin(Kind.TRAIN)

    def ended(self, current: ActiveRound) -> None:
        """Note that the round in front is over."""
        abandoned = current.machine.phase is Phase.ABANDONED
        if current.kind is Kind.TRAIN:
            self._abandoned_in_a_row = self._abandoned_in_a_row + 1 if abandoned else 0
        self.next_at = self._context.clock.now() + (self._context.settings.cohort.retry_delay if abandoned else 0.0)
        self._context.rounds.front = None

    def _begin(self, kind: Kind) -> ActiveRound:
        store, now = self._context.store, self._context.clock.wall()
        begun = store.unfinished_round(kind)  # by an attempt that the disk stopped half-way
        round_id = begun.round_id if begun else store.begin_round(kind, self._model.version, now)
        self._context.fault(FaultPoint.ROUND_RECORDED)
        return self._opening.round(kind, round_id)
