"""What devices say, each kind of message in one method; every one may come twice, late or never."""

from __future__ import annotations

from edgewise_coordinator import refusals
from edgewise_coordinator.active_round import ActiveRound
from edgewise_coordinator.answers import Answers
from edgewise_coordinator.context import Context
from edgewise_coordinator.reports import check_measures
from edgewise_coordinator.safekeeping import Safekeeping
from edgewise_coordinator.state import Report
from edgewise_wire.errors import InputError, ProtocolError
from edgewise_wire.messages import (
    Accept,
    BlobRequest,
    Body,
    CheckIn,
    Decline,
    Envelope,
    EvaluationReport,
    Kind,
    Presence,
    Progress,
    SecureConsent,
    SecureKeys,
    SecurePledge,
    SecureReveal,
    SecureShares,
    UploadChunk,
    UploadRequest,
)
from edgewise_wire.transport.base import Connected, Disconnected, Event, Message

SECURE = (SecureKeys, SecureShares, SecurePledge, SecureConsent, SecureReveal)
EVALUATION_SUMS = ("loss_sum", "weight_sum")


class Inbox:
    """Reads the coordinator's messages and applies them to its fleet and its rounds."""

    def __init__(self, context: Context, answers: Answers, safekeeping: Safekeeping) -> None:
        self._context = context
        self._answers = answers
        self._safekeeping = safekeeping

    def take(self, event: Event) -> None:
        """Handle one event of the transport."""
        if isinstance(event, Connected | Disconnected):
            self._context.link.up = isinstance(event, Connected)
        if isinstance(event, Message):
            read = self._context.link.read(event)
            if read is not None:
                self._dispatch(*read, retained=event.retained)

    def _dispatch(self, device: str, envelope: Envelope, *, retained: bool) -> None:
        body = envelope.body
        if self._context.pause.active and isinstance(body, UploadChunk | UploadRequest | EvaluationReport):
            return  # it could not be kept: the device says it again, for as long as it has no answer
        if isinstance(body, UploadChunk):
            self._chunk(device, envelope.round, body)
        elif isinstance(body, Presence):
            self._presence(device, body, retained)
        elif isinstance(body, CheckIn):
            self._check_in(device, body)
        elif isinstance(body, Accept):
            self._accept(device, envelope.round, body)
        elif isinstance(body, Decline):
            self._decline(device, envelope.round, body)
        elif isinstance(body, UploadRequest):
            self._upload_request(device, envelope.round, body)
        elif isinstance(body, EvaluationReport):
            self._evaluation(device, envelope.round, body)
        elif isinstance(body, BlobRequest):
            self._context.publisher.again(body)
        elif self._collected(device, envelope.round, body) or isinstance(body, Progress):
            return
        elif isinstance(body, SECURE):
            self._answers.over(device, envelope.round, body.attempt, idle=False)
        else:
            self._context.link.refused[refusals.NOT_FOR_US] += 1

    def _collected(self, device: str, round_id: int, body: Body) -> bool:
        """Offer a message to the ways of collecting; return whether one of them knew it."""
        return any(current.collection.hear(device, round_id, body) for current in self._context.rounds.all)

    def _presence(self, device: str, body: Presence, retained: bool) -> None:
        context = self._context
        context.fleet.presence(device, body.online, body.session)
        for current in context.rounds.all:
            current.machine.presence(device, body.online)
        if body.online and retained and context.pace.calls(context.fleet.online_count):
            # It was online before we listened, so it has no reason to speak first.
            self._answers.call(device)

    def _check_in(self, device: str, body: CheckIn) -> None:
        context = self._context
        if body.resume_round:
            self._still_working(device, body)
            return
        for current in context.rounds.all:
            known = current.machine.participants.get(device)
            if known is None or not current.live(device, known.attempt):
                continue
            # It is idle though it has work from us: the assignment was lost, or it restarted.
            current.machine.presence(device, True)
            if known.round_id == current.round_id:
                self._answers.assignment(current, device, known.attempt)
                return
            current.machine.failed(device, known.attempt, "its assignment was lost")
            current.forget(device)
        context.fleet.check_in(device, body)
        self._answers.steer(device)

    def _still_working(self, device: str, body: CheckIn) -> None:
        round_id, attempt = body.resume_round, body.resume_attempt
        current = self._context.rounds.find(device, attempt, round_id)
        self._context.fleet.presence(device, True, body.session)
        if current is not None:
            current.machine.presence(device, True)
            current.machine.accepted(device, attempt)
        elif not self._answers.accept_again(device, round_id, attempt):
            self._answers.over(device, round_id, attempt, idle=True)

    def _accept(self, device: str, round_id: int, body: Accept) -> None:
        current = self._context.rounds.find(device, body.attempt, round_id)
        if current is not None:
            current.machine.accepted(device, body.attempt)
        elif not self._context.store.has_report(round_id, device, body.attempt):
            self._answers.over(device, round_id, body.attempt, idle=False)

    def _decline(self, device: str, round_id: int, body: Decline) -> None:
        if not round_id:  # no round has this number: the device tells of an assignment that we did not sign
            self._context.link.refused[refusals.FORGED] += 1
            return
        current = self._context.rounds.find(device, body.attempt, round_id)
        if current is not None:
            current.machine.failed(device, body.attempt, f"declined: {body.reason}")
            current.forget(device)
            self._context.fleet.release(device)

    def _upload_request(self, device: str, round_id: int, body: UploadRequest) -> None:
        current = self._report_of(device, round_id, body.attempt)
        if current is None:
            return
        current.machine.accepted(device, body.attempt)
        try:
            current.collection.check(body)
            current.desk.request(device, body, current.collection.update_bytes)
        except (InputError, ProtocolError) as error:
            self._answers.refuse(current, device, body.attempt, str(error))

    def _chunk(self, device: str, round_id: int, body: UploadChunk) -> None:
        current = self._context.rounds.find(device, body.attempt, round_id)
        if current is None:
            return
        try:
            current.desk.chunk(device, body)
        except ProtocolError as error:
            self._answers.refuse(current, device, body.attempt, str(error))

    def _evaluation(self, device: str, round_id: int, body: EvaluationReport) -> None:
        context = self._context
        current = self._report_of(device, round_id, body.attempt)
        if current is None:
            return
        try:
            if current.kind is not Kind.EVALUATE:
                raise InputError("evaluation: expected an update, this round trains")
            most = context.settings.uploads.max_examples
            measures = check_measures(body, (*EVALUATION_SUMS, *context.artifact.manifest.metrics), most)
        except InputError as error:
            self._answers.refuse(current, device, body.attempt, str(error))
            return
        report = Report(device, body.attempt, body.examples, measures=measures)
        self._safekeeping.evaluation(current, round_id, report)

    def _report_of(self, device: str, round_id: int, attempt: int) -> ActiveRound | None:
        """Return the round that a report counts in; answers one that is already safe, or comes too late."""
        current = self._context.rounds.find(device, attempt, round_id)
        if current is None and not self._answers.accept_again(device, round_id, attempt):
            self._answers.too_late(device, round_id, attempt)
        return current
