"""What devices say, each kind of message in one method; every one may come twice, late or never."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from edgewise_coordinator import refusals
from edgewise_coordinator.reports import check_measures
from edgewise_coordinator.state import Report
from edgewise_wire.errors import InputError, ProtocolError
from edgewise_wire.messages import (
    Abort,
    Accept,
    BlobRequest,
    CheckIn,
    Decline,
    Envelope,
    EvaluationReport,
    Kind,
    Presence,
    Progress,
    ReportAck,
    UploadChunk,
    UploadRequest,
)
from edgewise_wire.transport.base import Connected, Disconnected, Event, Message

if TYPE_CHECKING:
    from edgewise_coordinator.active_round import ActiveRound
    from edgewise_coordinator.server import Coordinator

EVALUATION_SUMS = ("loss_sum", "weight_sum")
T = TypeVar("T")


class Inbox:
    """Reads the coordinator's messages and applies them to its fleet and its round."""

    def __init__(self, server: Coordinator) -> None:
        self._server = server

    def take(self, event: Event) -> None:
        """Handle one event of the transport."""
        if isinstance(event, Connected | Disconnected):
            self._server.link.up = isinstance(event, Connected)
        if isinstance(event, Message):
            read = self._server.link.read(event)
            if read is not None:
                self._dispatch(*read, retained=event.retained)

    def _dispatch(self, device: str, envelope: Envelope, *, retained: bool) -> None:
        body = envelope.body
        if self._server.pause.active and isinstance(body, UploadChunk | UploadRequest | EvaluationReport):
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
            self._server.publisher.again(body)
        elif not isinstance(body, Progress):
            self._server.link.refused[refusals.NOT_FOR_US] += 1

    def _presence(self, device: str, body: Presence, retained: bool) -> None:
        server = self._server
        server.fleet.presence(device, body.online, body.session)
        for current in server.open_rounds:
            current.machine.presence(device, body.online)
        if body.online and retained and server.pace.calls(server.fleet.online_count):
            # It was online before we listened, so it has no reason to speak first.
            server.call(device)

    def _check_in(self, device: str, body: CheckIn) -> None:
        server = self._server
        if body.resume_round:
            self._still_working(device, body)
            return
        for current in server.open_rounds:
            known = current.machine.participants.get(device)
            if known is None or not current.live(device, known.attempt):
                continue
            # It is idle though it has work from us: the assignment was lost, or it restarted.
            current.machine.presence(device, True)
            if known.round_id == current.round_id:
                server.send_assignment(current, device, known.attempt)
                return
            current.machine.failed(device, known.attempt, "its assignment was lost")
            current.desk.forget(device)
        server.fleet.check_in(device, body)
        server.steer(device)

    def _still_working(self, device: str, body: CheckIn) -> None:
        server, current = self._server, self._current(device, body.resume_round, body.resume_attempt)
        server.fleet.presence(device, True, body.session)
        if current is not None:
            current.machine.presence(device, True)
            current.machine.accepted(device, body.resume_attempt)
        elif not self._acknowledge_again(device, body.resume_round, body.resume_attempt):
            away = server.pace.dropped(server.fleet.online_count)
            server.fleet.release(device, away)
            server.link.send(device, Abort(body.resume_attempt, "that round is over", away), body.resume_round)

    def _accept(self, device: str, round_id: int, body: Accept) -> None:
        current = self._current(device, round_id, body.attempt)
        if current is not None:
            current.machine.accepted(device, body.attempt)
        elif not self._server.store.has_report(round_id, device, body.attempt):
            away = self._server.pace.dropped(self._server.fleet.online_count)
            self._server.link.send(device, Abort(body.attempt, "that round is over", away), round_id)

    def _decline(self, device: str, round_id: int, body: Decline) -> None:
        if not round_id:  # no round has this number: the device tells of an assignment that we did not sign
            self._server.link.refused[refusals.FORGED] += 1
            return
        current = self._current(device, round_id, body.attempt)
        if current is not None:
            current.machine.failed(device, body.attempt, f"declined: {body.reason}")
            current.desk.forget(device)
            self._server.fleet.release(device)

    def _upload_request(self, device: str, round_id: int, body: UploadRequest) -> None:
        current = self._report_of(device, round_id, body.attempt)
        if current is None:
            return
        current.machine.accepted(device, body.attempt)
        try:
            if current.kind is not Kind.TRAIN:
                raise InputError("update: expected an evaluation, this round does not train")
            current.decoder.check(body)
            current.desk.request(device, body, current.decoder.bytes)
        except (InputError, ProtocolError) as error:
            self._server.refuse(current, device, body.attempt, str(error))

    def _chunk(self, device: str, round_id: int, body: UploadChunk) -> None:
        current = self._current(device, round_id, body.attempt)
        if current is None:
            return
        try:
            current.desk.chunk(device, body)
        except ProtocolError as error:
            self._server.refuse(current, device, body.attempt, str(error))

    def _evaluation(self, device: str, round_id: int, body: EvaluationReport) -> None:
        server = self._server
        current = self._report_of(device, round_id, body.attempt)
        if current is None:
            return
        try:
            if current.kind is not Kind.EVALUATE:
                raise InputError("evaluation: expected an update, this round trains")
            most = server.settings.uploads.max_examples
            measures = check_measures(body, (*EVALUATION_SUMS, *server.artifact.manifest.metrics), most)
        except InputError as error:
            server.refuse(current, device, body.attempt, str(error))
            return
        report = Report(device, body.attempt, body.examples, measures=measures)
        server.safekeeping.evaluation(current, round_id, report)

    def _current(self, device: str, round_id: int, attempt: int) -> ActiveRound | None:
        """Return the running round that this is about, if the device is at work for it."""
        open_rounds = self._server.open_rounds
        return next((current for current in open_rounds if current.live(device, attempt, round_id)), None)

    def _report_of(self, device: str, round_id: int, attempt: int) -> ActiveRound | None:
        """Like `_current`, but answers a report that is already safe, or comes too late."""
        current = self._current(device, round_id, attempt)
        if current is None and not self._acknowledge_again(device, round_id, attempt):
            self._server.link.refused[refusals.TOO_LATE] += 1
            away = self._server.pace.late(self._server.fleet.online_count)
            self._server.fleet.send_away(device, away)
            self._server.link.send(device, ReportAck(attempt, False, "that round is over", away), round_id)
        return current

    def _acknowledge_again(self, device: str, round_id: int, attempt: int) -> bool:
        if not self._server.store.has_report(round_id, device, attempt):
            return False
        self._server.link.send(device, ReportAck(attempt, accepted=True), round_id)
        return True
