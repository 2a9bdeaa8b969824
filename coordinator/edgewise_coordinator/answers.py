"""What devices are told, and what is noted with it: work, a receipt, a refusal, a time to come back."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from edgewise_coordinator import refusals
from edgewise_coordinator.active_round import ActiveRound
from edgewise_coordinator.context import Context
from edgewise_coordinator.controls import Controls
from edgewise_coordinator.faults import FaultPoint
from edgewise_coordinator.machine import Assign, Drop
from edgewise_wire.messages import Abort, Assignment, ComeBackLater, Kind, ReportAck

log = logging.getLogger("edgewise.coordinator")


class Answers:
    """Answers devices; every answer may be given twice without harm."""

    def __init__(self, context: Context, controls: Controls) -> None:
        self._context = context
        self._controls = controls

    # Work ----------------------------------------------------------------------------------------------------------

    def assign(self, current: ActiveRound, actions: Sequence[Assign]) -> None:
        """Record who was selected, then tell each of them."""
        context, machine = self._context, current.machine
        context.fault(FaultPoint.AFTER_SELECTION)
        # Written before anyone is told, so that no device can answer for a round which a restart would not know.
        told = [machine.participants[a.device] for a in actions]
        context.store.configure_round(current.round_id, machine.goal, told, current.number)
        context.fault(FaultPoint.BEFORE_ASSIGNMENT)
        for action in actions:
            context.fleet.take(action.device, current.number)
            self.assignment(current, action.device, action.attempt)
            context.fault(FaultPoint.AFTER_ASSIGNMENT)

    def assignment(self, current: ActiveRound, device: str, attempt: int) -> None:
        """Tell a device what the round asks of it."""
        context, training = self._context, self._context.settings.training
        template = Assignment(
            attempt=attempt,
            epochs=training.epochs,
            learning_rate=training.learning_rate,
            max_examples=training.max_examples,
            seed=context.settings.seed,
            blobs_url=context.publisher.url,
        )
        template = current.collection.ask(template, device)
        if current.kind is Kind.TRAIN:
            template = self._controls.add_to(template, device)
        context.link.send(device, current.assignment(device, attempt, template), current.round_id)

    def drop(self, current: ActiveRound, action: Drop) -> None:
        """Tell a device to stop: its report would no longer count."""
        current.forget(action.device)
        away = self._context.pace.dropped(self._crowd)
        self._context.fleet.release(action.device, away)
        self._context.link.send(
            action.device, Abort(action.attempt, action.reason, away), current.round_of(action.device)
        )

    # Reports -------------------------------------------------------------------------------------------------------

    def accept(self, current: ActiveRound, device: str, attempt: int) -> None:
        """Count a report that is safely recorded, and tell its device."""
        context = self._context
        current.machine.reported(device, attempt)
        away = context.pace.accepted(self._crowd)
        context.fleet.release(device, away)
        context.link.send(device, ReportAck(attempt, accepted=True, come_back=away), current.round_of(device))
        context.fault(FaultPoint.AFTER_ACKNOWLEDGEMENT)

    def accept_again(self, device: str, round_id: int, attempt: int) -> bool:
        """Say so once more if this very report is safe; return whether it is."""
        if not self._context.store.has_report(round_id, device, attempt):
            return False
        self._context.link.send(device, ReportAck(attempt, accepted=True), round_id)
        return True

    def refuse(self, current: ActiveRound, device: str, attempt: int, reason: str) -> None:
        """Turn a report down, count why, and tell its device."""
        context = self._context
        context.link.refused[refusals.kind_of(reason)] += 1
        log.warning("%s: refused in round %d: %s", device, current.round_id, reason)
        current.machine.failed(device, attempt, reason)
        current.forget(device)
        away = context.pace.late(self._crowd)
        context.fleet.release(device, away)
        context.link.send(device, ReportAck(attempt, False, reason[:500], away), current.round_of(device))

    def too_late(self, device: str, round_id: int, attempt: int) -> None:
        """Refuse a report of a round that is over, with a time to come back."""
        context = self._context
        context.link.refused[refusals.TOO_LATE] += 1
        away = context.pace.late(self._crowd)
        context.fleet.send_away(device, away)
        context.link.send(device, ReportAck(attempt, False, "that round is over", away), round_id)

    def over(self, device: str, round_id: int, attempt: int, *, idle: bool) -> None:
        """Tell a device at work for a round that is over to stop; `idle` if it has nothing else to do."""
        away = self._context.pace.dropped(self._crowd)
        if idle:
            self._context.fleet.release(device, away)
        self._context.link.send(device, Abort(attempt, "that round is over", away), round_id)

    # Who is to come, and when --------------------------------------------------------------------------------------

    def steer(self, device: str) -> None:
        """Tell a device that has just offered itself when to come back, if it came too early or there are enough."""
        context, crowd = self._context, self._crowd
        left, buffer = context.fleet.too_early(device), context.settings.buffer
        target = context.settings.cohort.target if buffer is None else buffer.concurrency
        if left is not None:
            context.link.send(device, ComeBackLater(left, "it is not time yet"))
        elif context.pace.crowded(crowd, context.fleet.available() - 1, target):
            away = context.pace.dropped(crowd)
            context.fleet.send_away(device, away)
            context.link.send(device, ComeBackLater(away, "enough devices are waiting"))

    def call(self, device: str) -> None:
        """Ask a device to check in now."""
        self._context.link.send(device, ComeBackLater(0.0, "please check in"))

    def call_participants(self) -> None:
        """Call those at work: after a pause, whoever holds an update need not wait for its own timer."""
        for current in self._context.rounds.all:
            for p in current.machine.participants.values():
                if p.status.live:
                    self.call(p.device)

    def expel(self, device: str) -> None:
        """Be done with a revoked device: what it has sent of an update is dropped, its place in the round is free."""
        context = self._context
        for current in context.rounds.all:
            at_work = current.machine.participants.get(device)
            if at_work is not None and current.live(device, at_work.attempt):
                current.machine.failed(device, at_work.attempt, "revoked")
                current.forget(device)
        context.fleet.release(device)
        context.fleet.presence(device, False, 0)
        log.warning("%s: revoked; nothing that it says is taken any more", device)

    @property
    def _crowd(self) -> int:
        return self._context.fleet.online_count
