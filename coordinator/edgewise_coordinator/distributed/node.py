"""One aggregator: takes updates in from the broker, makes them safe on its own disk, and adds them up."""

from __future__ import annotations

import logging
import math
import secrets
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from edgewise_coordinator.decoding import Decoder
from edgewise_coordinator.distributed.orders import (
    Count,
    Expect,
    Forget,
    Heard,
    Lost,
    NodeSettings,
    Notice,
    Open,
    Order,
    Refused,
    Stored,
    Stray,
    Summed,
    Term,
)
from edgewise_coordinator.exact_sum import ExactSum
from edgewise_coordinator.faults import FaultHook, FaultPoint, no_fault
from edgewise_coordinator.link import Link
from edgewise_coordinator.spooled import Spooled
from edgewise_coordinator.uploads import UploadDesk
from edgewise_wire import topics
from edgewise_wire.clock import Clock, SystemClock
from edgewise_wire.errors import InputError, ProtocolError, TransportError, UnavailableError
from edgewise_wire.files import make_folder
from edgewise_wire.messages import Envelope, UploadChunk, UploadRequest
from edgewise_wire.transport.base import Event, Message, Transport

log = logging.getLogger("edgewise.aggregator")

EVENTS_A_STEP = 256  # so that a flood of messages cannot keep orders from being obeyed
RETRY_SECONDS = 1.0  # how long a disk that refuses is left alone; devices ask again meanwhile


@dataclass(slots=True)
class NodeRound:
    """What an aggregator knows of one round."""

    order: Open
    spool: Path
    decoder: Decoder
    desk: UploadDesk
    total: ExactSum
    expected: dict[str, int] = field(default_factory=dict)
    added: dict[tuple[str, int], Term] = field(default_factory=dict)

    def path(self, device: str, attempt: int) -> Path:
        """Return the file of an update (`UploadDesk` names it)."""
        return self.spool / f"{device}-{attempt}.update"


class Node:
    """An aggregator without its process: `obey` orders, `step` through messages, `take_notices`, `sum_up`.

    Memory: 8 bytes a parameter, one block, and at most `slots` × `window` chunks, whatever the number of devices.

    Args:
        settings: who it is.
        transport: its own link to the broker.
        clock: where the time comes from.
        fault: called at the points of `faults.FaultPoint` that lie here: grants, spool, fold.
    """

    def __init__(
        self, settings: NodeSettings, transport: Transport, clock: Clock | None = None, fault: FaultHook = no_fault
    ) -> None:
        self.incarnation = secrets.token_hex(8)
        self._settings = settings
        self._clock = clock or SystemClock()
        self._fault = fault
        self._link = Link(settings.fleet, transport, self._clock)
        self._rounds: dict[int, NodeRound] = {}
        self._notices: list[Notice] = []
        self._quiet_until = -math.inf
        make_folder(settings.directory)
        transport.subscribe(topics.all_devices(settings.fleet, f"up/{settings.name}"))

    # Orders --------------------------------------------------------------------------------------------------------

    def obey(self, order: Order) -> None:
        """Do what the coordinator says; every order may come twice. What the disk refuses is tried again at the end."""
        try:
            self._obey(order)
        except (InputError, ProtocolError, UnavailableError) as error:
            log.warning("%s: %s", self._settings.name, error)

    def _obey(self, order: Order) -> None:
        if isinstance(order, Open):
            self._open(order)
            return
        current = self._rounds.get(order.round_id)
        if current is None:
            return
        if isinstance(order, Expect):
            current.expected[order.device] = order.attempt
        elif isinstance(order, Forget):
            current.expected.pop(order.device, None)
            current.desk.forget(order.device)
        elif isinstance(order, Count):
            current.expected.pop(order.term.device, None)
            self._add(current, order.term)
        else:
            self._end(current)

    def _open(self, order: Open) -> None:
        if order.round_id in self._rounds:
            return
        for earlier in [] if order.keep else self._settings.directory.glob("[0-9]*"):
            if int(earlier.name) < order.round_id:  # its end was never told: somebody was killed
                shutil.rmtree(earlier, ignore_errors=True)
        spool = make_folder(self._settings.directory / f"{order.round_id:06}")
        desk = UploadDesk(
            spool,
            self._settings.uploads,
            self._clock,
            lambda device, body: self._link.send(device, body, order.round_id),
            lambda device, request, file: self._stored(order.round_id, device, request, file),
            lambda device, request, reason: self._refuse(order.round_id, device, request.attempt, reason),
            self._fault,
        )
        decoder = Decoder(order.encoding, order.seed, order.round_id, order.numbers)
        self._rounds[order.round_id] = NodeRound(order, spool, decoder, desk, ExactSum(order.numbers))

    def _end(self, current: NodeRound) -> None:
        current.desk.close()
        if not current.order.keep:
            shutil.rmtree(current.spool, ignore_errors=True)
        del self._rounds[current.order.round_id]

    # What devices say ----------------------------------------------------------------------------------------------

    def step(self, timeout: float) -> bool:
        """Take what came in, waiting `timeout` seconds at most for it, and make safe what is whole.

        Returns:
            Whether anything came.
        """
        came = False
        for _ in range(EVENTS_A_STEP):
            event = self._poll(timeout)
            if event is None:
                break
            came, timeout = True, 0.0
            if self._clock.now() >= self._quiet_until:
                self._guarded(event)
        if self._clock.now() >= self._quiet_until:
            self._guarded(None)
        return came

    def _poll(self, timeout: float) -> Event | None:
        try:
            return self._link.transport.poll(timeout)
        except TransportError as error:  # the broker refused something, and says so once
            log.warning("%s: %s", self._settings.name, error)
            return None

    def _guarded(self, event: Event | None) -> None:
        try:
            if isinstance(event, Message):
                self._hear(event)
            elif event is None:
                for current in self._rounds.values():
                    current.desk.tick()
                    current.desk.settle()
        except UnavailableError as error:
            log.warning("%s: %s; nothing is acknowledged until there is room", self._settings.name, error)
            self._quiet_until = self._clock.now() + RETRY_SECONDS

    def _hear(self, message: Message) -> None:
        read = self._link.read(message)
        if read is None:
            return
        device, envelope = read
        if isinstance(envelope.body, UploadRequest | UploadChunk):
            self._upload(device, envelope, envelope.body)

    def _upload(self, device: str, envelope: Envelope, body: UploadRequest | UploadChunk) -> None:
        current = self._rounds.get(envelope.round)
        if current is None or current.expected.get(device) != body.attempt:
            if isinstance(body, UploadRequest):
                self._notices.append(Stray(envelope.round, device, body.attempt))
            return
        try:
            if isinstance(body, UploadChunk):
                current.desk.chunk(device, body)
                return
            current.decoder.check(body)
            current.desk.request(device, body, current.decoder.bytes)
        except (InputError, ProtocolError) as error:
            self._refuse(envelope.round, device, body.attempt, str(error))

    def _stored(self, round_id: int, device: str, request: UploadRequest, file: Path) -> None:
        current = self._rounds[round_id]
        weight = 1.0 if current.order.uniform else float(request.examples)
        try:
            update = self._term(current, Term(device, request.attempt, weight, 1.0))
            norm = update.measure(current.total.check, self._settings.uploads.max_norm)
        except (InputError, ProtocolError) as error:
            file.unlink(missing_ok=True)
            self._refuse(round_id, device, request.attempt, str(error))
            return
        self._notices.append(Stored(round_id, device, request, norm))

    def _refuse(self, round_id: int, device: str, attempt: int, reason: str) -> None:
        current = self._rounds[round_id]
        current.desk.forget(device)
        current.expected.pop(device, None)
        self._notices.append(Refused(round_id, device, attempt, reason))

    @property
    def has_news(self) -> bool:
        """Whether there is something to tell."""
        return bool(self._notices)

    # What it comes to ----------------------------------------------------------------------------------------------

    def take_notices(self) -> Heard:
        """Return what there is to tell the coordinator, once."""
        told, self._notices = tuple(self._notices), []
        return Heard(self._settings.name, self.incarnation, told, self._link.bytes_up, self._link.bytes_down)

    def sum_up(self, round_id: int, terms: tuple[Term, ...]) -> Summed:
        """Return the sum of exactly these updates; what was counted on the way is not added again."""
        current = self._rounds.get(round_id)
        if current is None:
            return Lost(f"aggregator {self._settings.name} was not told of round {round_id}")
        wanted = {(term.device, term.attempt): term for term in terms}
        try:
            if not current.added.items() <= wanted.items():  # a term that is not what was recorded in the end
                current.total, current.added = ExactSum(current.order.numbers), {}
            for term in terms:
                self._add(current, term)
        except (InputError, ProtocolError, UnavailableError) as error:
            return Lost(f"aggregator {self._settings.name}: {error}")
        return current.total.partial()

    def _add(self, current: NodeRound, term: Term) -> None:
        if (term.device, term.attempt) in current.added:
            return
        try:
            update = self._term(current, term)
            current.total.add_blocks(update.pieces(), update.weight, update.factor)
        except InputError:  # half of it may be in the sum: the rest begins anew
            current.total, current.added = ExactSum(current.order.numbers), {}
            raise
        current.decoder.done(update.path)
        current.added[term.device, term.attempt] = term
        self._fault(FaultPoint.AFTER_FOLD)

    def _term(self, current: NodeRound, term: Term) -> Spooled:
        plain = current.decoder.plain(term.device, current.path(term.device, term.attempt))
        return Spooled(plain, current.order.numbers, term.weight, term.factor)
