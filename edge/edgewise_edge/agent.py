"""The device agent: a session is numbered states with typed outcomes (Bonawitz et al. 2019, §3), driven by `step`.

Single-threaded. Every `step` waits for one event at the most, lets the timers that are due act, and computes one batch
if there is training to do; so an abort, a newer assignment or a lost condition stops training between two batches.
`docs/protocol.md` says what the device must do; `session.py` keeps what must survive a crash.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable
from typing import Protocol

import numpy as np

from edgewise_edge.download import Download
from edgewise_edge.home import Home, write_json
from edgewise_edge.host import Host
from edgewise_edge.link import Heard, Identity, Link, sentence
from edgewise_edge.local_training import LocalUpdate
from edgewise_edge.model import LatestModel
from edgewise_edge.participation import Outcome, ParticipationLog
from edgewise_edge.phases import Compute, Phase, SendReport, make_report
from edgewise_edge.policy import Policy
from edgewise_edge.session import Report, SessionFolder, Work
from edgewise_edge.upload import Upload
from edgewise_wire.blobs import BlobStore, check_ref
from edgewise_wire.clock import Clock, SystemClock
from edgewise_wire.errors import EdgewiseError, ProtocolError
from edgewise_wire.messages import (
    CHUNK_BYTES,
    CHUNKS_MAX,
    Abort,
    Accept,
    Assignment,
    BlobChunk,
    CheckIn,
    ComeBackLater,
    Decline,
    DeviceState,
    Kind,
    Progress,
    ReportAck,
    UploadRequest,
)
from edgewise_wire.transport.base import Connected, Disconnected, Event, Message, Transport
from edgewise_wire.version import __version__

log = logging.getLogger(__name__)

RECHECK_SECONDS = 60.0
RECHECK_JITTER = 0.2  # so that a fleet which started at once does not speak at once for ever
CONDITION_SECONDS = 5.0  # how often a working device that computes nothing looks at its conditions
PROGRESS_SECONDS = 5.0
COME_BACK_MAX = 7 * 86400.0  # a coordinator cannot send a device away for longer than a week
BEGINNINGS_MAX = 3  # a graph that kills the process is not tried for ever
POLL_SECONDS = 1.0  # how late `run` notices that it should stop
BLOB_BYTES_MAX = CHUNKS_MAX * CHUNK_BYTES
WORKING = (DeviceState.ASSIGNED, DeviceState.DOWNLOADING, DeviceState.TRAINING, DeviceState.UPLOADING)


class StopSignal(Protocol):
    """A `threading.Event`, or what looks like one."""

    def is_set(self) -> bool:
        """Return whether to stop."""


class Agent:
    """One device in one fleet.

    Args:
        home: the device's folder; what an earlier process left there is taken up.
        transport: a link made with `identity.will`.
        identity: fleet, device, and the session number of this process.
        host: examples, trainer and conditions.
        clock: where the time comes from.
        policy: the owner's limits.
        rng: jitters the check-ins; nothing that is learned depends on it.

    Raises:
        UnavailableError, DataError: if the folder's files cannot be used.

    Example:
        >>> agent = Agent(home, transport, identity, host)                      # doctest: +SKIP
        >>> agent.run(stop)                                                     # doctest: +SKIP
    """

    def __init__(
        self,
        home: Home,
        transport: Transport,
        identity: Identity,
        host: Host,
        *,
        clock: Clock | None = None,
        policy: Policy | None = None,
        rng: np.random.Generator | None = None,
    ) -> None:
        self.home = home
        self.link = Link(transport, identity)
        self.state = DeviceState.IDLE
        self._host = host
        self._clock = clock or SystemClock()
        self._policy = policy or Policy()
        self._rng = rng or np.random.default_rng(identity.session)
        self._blobs = BlobStore(home.blobs)
        self._model = LatestModel(home)
        self._log = ParticipationLog(home.participation)
        self._session = SessionFolder(home.session, identity.fleet)
        self._up = False
        self._phase: Phase = Phase()
        self._work: Work | None = None
        self._deadline = self._condition_at = math.inf
        self._progress_at = -math.inf
        self._wake = self._after_separation()
        self.link.listen()
        self._resume()

    # Driving it ----------------------------------------------------------------------------------------------------

    def step(self, timeout: float = 0.0) -> None:
        """Wait for an event, at most `timeout` seconds and never past the next timer; handle it; do what is due."""
        wait = 0.0 if self._phase.busy else max(0.0, min(timeout, self.due - self._clock.now()))
        event = self.link.transport.poll(wait)
        if event is not None:
            self._handle(event)
        self._tick()
        if self._phase.busy:
            self._guarded(self._compute)

    def run(self, stop: StopSignal) -> None:
        """Step until `stop` is set; `close` is the caller's."""
        while not stop.is_set():
            self.step(POLL_SECONDS)

    def close(self) -> None:
        """Say that this device goes offline, and let go of everything; the work stays on disk for the next process."""
        self._phase.stop()
        self.link.show(online=False)
        self.link.transport.close()
        self._log.close()
        self._show("stopped")

    @property
    def due(self) -> float:
        """When the next timer acts, by the agent's clock; infinity if only a message can change anything."""
        if self._work is None:
            return self._wake
        return min(self._deadline, self._phase.due, self._condition_at)

    # Events --------------------------------------------------------------------------------------------------------

    def _handle(self, event: Event) -> None:
        if isinstance(event, Connected):
            self._up = True
            self.link.show(online=True)
            self._on_connected()
        elif isinstance(event, Disconnected):
            self._up = False
            log.info("the link is down: %s", event.reason or "no reason known")
            if self.state is DeviceState.CHECKED_IN:
                self._enter(DeviceState.ELIGIBLE)
        else:
            self._on_message(event)

    def _on_connected(self) -> None:
        log.info("connected as %s in fleet %s", self.link.identity.device, self.link.identity.fleet)
        if self._work is not None:
            self._check_in(self._work)
            self._guarded(self._phase.connected)
        elif self.state is DeviceState.ELIGIBLE:
            self._offer()

    def _on_message(self, message: Message) -> None:
        heard = self.link.hear(message)
        if heard is None:
            return
        body, work = heard.body, self._work
        if isinstance(body, Assignment):
            self._on_assignment(heard, body)
        elif isinstance(body, ComeBackLater):
            self._on_come_back(body)
        elif work is None:
            log.debug("ignored %s: no work", type(body).__name__)
        elif isinstance(body, BlobChunk):
            self._guarded(lambda: self._phase.hear(heard))
        elif (heard.round, body.attempt) != work.rank:  # type: ignore[union-attr]  # the others all have an attempt
            log.debug("ignored %s: of another attempt", type(body).__name__)
        elif isinstance(body, ReportAck):
            self._on_acknowledged(body)
        elif isinstance(body, Abort):
            self._end(Outcome.ABORTED, body.reason, body.come_back)
        else:
            self._guarded(lambda: self._phase.hear(heard))

    def _on_come_back(self, body: ComeBackLater) -> None:
        seconds = bounded(body.seconds)
        if self._work is not None:
            if not seconds:
                self._check_in(self._work)
        elif seconds:
            self._sleep(seconds, f"told to come back in {seconds:.0f} s: {body.reason}" if body.reason else "")
        else:
            self._wake = -math.inf

    def _on_acknowledged(self, body: ReportAck) -> None:
        if self.state is not DeviceState.UPLOADING:
            return  # nobody can have what was not said: a lie or a mistake
        if body.accepted:
            self._enter(DeviceState.REPORTED)
        self._end(Outcome.REPORTED if body.accepted else Outcome.REFUSED, body.reason, body.come_back)

    # Assignments ---------------------------------------------------------------------------------------------------

    def _on_assignment(self, heard: Heard, asked: Assignment) -> None:
        work = Work(self.link.identity.fleet, heard.round, heard.message_id, asked, self._clock.wall())
        if self._work is not None:
            if work.rank == self._work.rank and asked == self._work.asked:
                self._repeat(self._work)
                return
            if work.rank < self._work.rank:
                log.debug("ignored the assignment of %s: older than the one in work", work)
                return
            self._end(Outcome.SUPERSEDED, f"{work} came")
        earlier = self._log.find(work.digest)
        if earlier is None:
            self._consider(work)
        elif earlier.outcome is Outcome.DECLINED:
            self.link.say(Decline(asked.attempt, sentence(earlier.reason)), work.round)

    def _consider(self, work: Work) -> None:
        """Accept an assignment or decline it."""
        reason = self._refusal(work.asked)
        if reason is not None:
            self._log.begin(work.digest, work.round, work.asked, self._clock.wall(), Outcome.DECLINED, reason)
            self.link.say(Decline(work.asked.attempt, sentence(reason)), work.round)
            self._sleep(self._recheck(), f"declined {work}: {reason}")
            return
        self._session.save(work)
        self._log.begin(work.digest, work.round, work.asked, self._clock.wall(), Outcome.WORKING, "")
        self._take_up(work, self._policy.seconds_allowed(work.asked.deadline))
        self.link.say(Accept(work.asked.attempt), work.round)
        self._begin_phase(self._download(work))

    def _refusal(self, asked: Assignment) -> str | None:
        try:
            check_ref(asked.graph, BLOB_BYTES_MAX)
            check_ref(asked.weights, BLOB_BYTES_MAX)
        except ProtocolError as error:
            return str(error)
        traffic = 0 if self._blobs.has(asked.graph.hash) else asked.graph.size
        traffic += asked.weights.size * (1 if asked.kind == Kind.EVALUATE else 2)
        counts = self._host.counts()
        held = counts.held_out if asked.kind == Kind.EVALUATE else counts.train
        return self._host.obstacle() or self._policy.refusal(asked, held=held, traffic=traffic)

    def _take_up(self, work: Work, seconds: float) -> None:
        self._work = work
        now = self._clock.now()
        self._deadline, self._condition_at = now + seconds, now + CONDITION_SECONDS
        self._enter(DeviceState.ASSIGNED)

    def _repeat(self, work: Work) -> None:
        if self.state is DeviceState.UPLOADING:
            self._phase.repeat()
        else:
            self.link.say(Accept(work.asked.attempt), work.round)

    def _resume(self) -> None:
        """Go on where an earlier process stopped."""
        found = self._session.load()
        work, report = found or (None, None)
        self._log.close_open(work.digest if work else b"", self._clock.wall())
        if work is None:
            return
        entry = self._log.find(work.digest)
        if entry is not None and entry.outcome is not Outcome.WORKING:
            self._session.clear()  # it had ended; only its files had not gone yet
            return
        if entry is None:
            self._log.begin(work.digest, work.round, work.asked, self._clock.wall(), Outcome.WORKING, "")
        allowed = self._policy.seconds_allowed(work.asked.deadline)
        # A device's clock may have jumped: never wait longer than the deadline, never believe that it lies ahead.
        passed = min(max(self._clock.wall() - work.received, 0.0), allowed) if work.received else 0.0
        log.info("taking up %s again", work)
        self._take_up(work, allowed - passed)
        self._begin_phase(self._download(work) if report is None else self._sending(work, report))

    # Phases --------------------------------------------------------------------------------------------------------

    def _download(self, work: Work) -> Download:
        refs = (work.asked.graph, work.asked.weights)
        return Download(self.link, self._clock, self._blobs, work.round, refs)

    def _sending(self, work: Work, report: Report) -> Phase:
        if isinstance(report, UploadRequest):
            return Upload(self.link, self._clock, work.round, report, self._session.update)
        return SendReport(self.link, self._clock, work, report)

    def _begin_phase(self, phase: Phase) -> None:
        self._phase.stop()
        self._phase = phase
        self._enter(phase.state)
        self._guarded(phase.start)

    def _advance(self) -> None:
        """Begin the next phase if this one is finished."""
        work, phase = self._work, self._phase
        if work is None or not phase.finished:
            return
        if isinstance(phase, Download):
            self._log.note(work.digest, bytes_down=phase.bytes_fetched)
            self._model.save(work.asked, work.round)
            if self._session.count_begin() > BEGINNINGS_MAX:
                self._give_up(Outcome.FAILED, f"the process died {BEGINNINGS_MAX} times while it trained this")
                return
            self._begin_phase(self._computing(work))
        elif isinstance(phase, Compute) and phase.result is not None:
            report, data = make_report(work, phase.result, phase.seconds)
            self._session.save_report(work, report, data)
            self._note_result(work, phase)
            self._begin_phase(self._sending(work, report))

    def _computing(self, work: Work) -> Compute:
        graph, weights = self._blobs.path(work.asked.graph.hash), self._blobs.path(work.asked.weights.hash)
        counts = self._host.counts()
        held = counts.held_out if work.asked.kind == Kind.EVALUATE else counts.train
        most = self._policy.examples_used(work.asked.max_examples, held)
        return Compute(self._host, self._clock, work, self.link.identity.device, graph, weights, most)

    def _note_result(self, work: Work, phase: Compute) -> None:
        result = phase.result
        if isinstance(result, LocalUpdate):
            self._log.note(
                work.digest, examples=result.examples, steps=result.steps, loss=result.loss, norm=result.norm,
                seconds=phase.seconds, bytes_up=result.update.nbytes,
            )  # fmt: skip
        elif result is not None:
            self._log.note(work.digest, examples=result.examples, seconds=phase.seconds)

    def _compute(self) -> None:
        why = self._host.obstacle()
        if why:
            self._give_up(Outcome.DECLINED, why)
            return
        self._phase.compute()
        self._tell_progress()

    # Time ----------------------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        now = self._clock.now()
        if self._work is None:
            if now >= self._wake:
                self._reconsider()
            return
        if now >= self._deadline:
            self._give_up(Outcome.EXPIRED, f"the deadline passed while {self.state.name.lower()}")
            return
        if now >= self._condition_at:
            self._condition_at = now + CONDITION_SECONDS
            if why := self._host.obstacle():
                self._give_up(Outcome.DECLINED, why)
                return
        if now >= self._phase.due:
            self._guarded(self._phase.tick)
        self._guarded(self._advance)

    def _reconsider(self) -> None:
        """See whether the device can take part, and offer it."""
        counts, why = self._host.counts(), self._host.obstacle()
        if why is None and counts.train < self._policy.min_examples:
            why = f"{counts.train} examples, the owner asks for at least {self._policy.min_examples}"
        if why is not None:
            self._sleep(self._recheck(), f"not eligible: {why}" if self.state is not DeviceState.IDLE else "")
            return
        self._wake = self._clock.now() + self._recheck()
        if self.state is DeviceState.IDLE:
            self._enter(DeviceState.ELIGIBLE)
        if self._up:
            self._offer()

    def _offer(self) -> None:
        self._check_in(None)
        if self.state is not DeviceState.CHECKED_IN:
            self._enter(DeviceState.CHECKED_IN)

    def _check_in(self, work: Work | None) -> None:
        counts, latest = self._host.counts(), self._model.load()
        round_number, attempt = work.rank if work is not None else (0, 0)
        body = CheckIn(
            self.link.identity.session, latest.graph if latest else b"", counts.train, counts.held_out,
            self._host.runtime, f"edgewise {__version__}", round_number, attempt,
        )  # fmt: skip
        self.link.say(body)

    def _recheck(self) -> float:
        return RECHECK_SECONDS * float(self._rng.uniform(1 - RECHECK_JITTER, 1 + RECHECK_JITTER))

    def _after_separation(self) -> float:
        """Return when the owner's separation between two rounds allows the next one."""
        last = self._log.last_report()
        if last is None:
            return -math.inf
        passed = max(self._clock.wall() - last, 0.0)
        return self._clock.now() + max(self._policy.min_separation - passed, 0.0)

    def _sleep(self, seconds: float, why: str) -> None:
        self._wake = self._clock.now() + seconds
        self._enter(DeviceState.IDLE, why)

    # Ends ----------------------------------------------------------------------------------------------------------

    def _give_up(self, outcome: Outcome, reason: str) -> None:
        """End the work of the device's own accord, and say so."""
        if self._work is not None:
            self.link.say(Decline(self._work.asked.attempt, sentence(reason)), self._work.round)
            self._end(outcome, reason, self._recheck())

    def _end(self, outcome: Outcome, reason: str, come_back: float = 0.0) -> None:
        """End the work: the record first, then the files, so that a crash between the two repeats nothing."""
        work = self._work
        if work is None:
            return
        self._phase.stop()
        self._log.end(work.digest, self._clock.wall(), outcome, reason)
        self._session.clear()
        self._work, self._phase = None, Phase()
        self._blobs.prune(self._model.hashes())
        seconds = bounded(come_back)
        if outcome is Outcome.REPORTED:
            seconds = max(seconds, self._policy.min_separation)
        self._sleep(seconds, f"{outcome.value} {work}" + (f": {reason}" if reason else ""))

    def _guarded(self, act: Callable[[], None]) -> None:
        """Do something for the work in hand; what goes wrong ends the work and not the agent."""
        try:
            act()
        except (EdgewiseError, OSError, MemoryError) as error:
            self._give_up(Outcome.FAILED, str(error) or type(error).__name__)

    # What others see -----------------------------------------------------------------------------------------------

    def _enter(self, state: DeviceState, why: str = "") -> None:
        if state is self.state and not why:
            return
        self.state = state
        name = state.name.lower().replace("_", "-")
        log.info("%s%s%s", name, f" ({self._work})" if self._work else "", f": {sentence(why)}" if why else "")
        self._show(name)
        if self._work is not None:
            self._progress_at = -math.inf
            self._tell_progress()

    def _tell_progress(self) -> None:
        now, work = self._clock.now(), self._work
        if work is None or now < self._progress_at:
            return
        self._progress_at = now + PROGRESS_SECONDS
        step = self._phase.progress
        self.link.say(Progress(work.asked.attempt, self.state, step.done, step.total, step.loss), work.round, qos=0)

    def _show(self, state: str) -> None:
        work, identity = self._work, self.link.identity
        write_json(
            self.home.status,
            {
                "state": state,
                "since": self._clock.wall(),
                "pid": os.getpid(),
                "fleet": identity.fleet,
                "device": identity.device,
                "round": work.round if work else None,
            },
        )


def bounded(seconds: float) -> float:
    """Return a time to come back that a coordinator may ask for: finite, from now, within a week."""
    return min(max(seconds, 0.0), COME_BACK_MAX) if math.isfinite(seconds) else RECHECK_SECONDS
