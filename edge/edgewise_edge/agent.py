"""The device agent: a session is numbered states with typed outcomes (Bonawitz et al. 2019, §3), driven by `step`.

Single-threaded. Every `step` waits for one event at the most, lets the timers that are due act, and computes one batch
if there is something to compute; so an abort, a newer assignment or a lost condition stops training between two
batches. `docs/protocol.md` says what the device must do; `session.py` keeps what must survive a crash.
"""

from __future__ import annotations

import logging
import math
import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, TypeAlias

from edgewise_edge.availability import Availability, Dice, bounded
from edgewise_edge.budget import Budget
from edgewise_edge.home import Home
from edgewise_edge.host import Host
from edgewise_edge.jobs import Computing, InProcessComputing
from edgewise_edge.link import SECURE, Heard, Identity, Link, Vouches, sentence
from edgewise_edge.model import LatestModel
from edgewise_edge.participation import Entry, Outcome, ParticipationLog
from edgewise_edge.policy import Policy
from edgewise_edge.session import Work
from edgewise_edge.status import Status
from edgewise_edge.worker import Ended, Worker
from edgewise_wire.clock import Clock, SystemClock
from edgewise_wire.errors import TransportError, UnavailableError
from edgewise_wire.messages import (
    Abort,
    Assignment,
    BlobChunk,
    ChunkAck,
    ComeBackLater,
    Decline,
    DeviceState,
    ReportAck,
    SecureInbox,
    SecureQuorum,
    SecureRoster,
    SecureSurvivors,
    UploadGrant,
)
from edgewise_wire.transport.base import Connected, Disconnected, Event, Message, Transport

if TYPE_CHECKING:
    from edgewise_wire.crypto.enrolled import Papers  # it imports `cryptography`, which a plain device may not have

log = logging.getLogger(__name__)

Secure: TypeAlias = "SecureRoster | SecureInbox | SecureSurvivors | SecureQuorum"

POLL_SECONDS = 1.0  # how late `run` notices that it should stop
RELEASE_SECONDS = 60.0  # a fleet that is at work asks again sooner; one that is not needs no model in memory
REPEAT_SECONDS = 900.0  # so long after its end an assignment with the same message id is the same one, delivered again


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
        policy: the owner's limits, or what returns them as they are now.
        metered: whether the network costs its owner money now.
        rng: jitters the check-ins; nothing that is learned depends on it.
        computing: where assignments are computed; in this process if left out (see `Apart`).
        vouches: takes only assignments that it says the coordinator signed; `None` takes any.
        papers: return what this device was enrolled with, and by whom: in a secure round it takes nobody else's word.

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
        policy: Policy | Callable[[], Policy] | None = None,
        metered: Callable[[], bool] = lambda: False,
        rng: Dice | None = None,
        vouches: Vouches | None = None,
        computing: Computing | None = None,
        papers: Callable[[], Papers] | None = None,
    ) -> None:
        self.link = link = Link(transport, identity, vouches)
        self._clock = clock = clock or SystemClock()
        fixed = policy if isinstance(policy, Policy) else Policy()
        rules = policy if callable(policy) else lambda: fixed
        self._host = host
        self._release_at = math.inf
        self._records = records = ParticipationLog(home.participation)
        budget = Budget(records, clock, rules, metered)
        self._status = status = Status(home.status, link, clock)
        model = LatestModel(home)
        rng = rng or random.Random(identity.session)  # noqa: S311 - jitter
        self._availability = Availability(link, host, status, model, clock=clock, policy=rules, budget=budget, rng=rng)
        self._computing = computing = computing or InProcessComputing(host)
        self._worker = Worker(
            home, link, host, status, model, records, clock=clock, policy=rules, budget=budget,
            computing=computing, on_end=self._on_end,
            papers=papers,
        )  # fmt: skip
        last = records.last_report()
        if last is not None:
            self._availability.keep_distance(clock.wall() - last)
        link.listen()
        self._worker.resume()

    @property
    def state(self) -> DeviceState:
        """Where the device stands in its session."""
        return self._status.state

    @property
    def due(self) -> float:
        """When the next timer acts, by the agent's clock."""
        own = min(self._availability.due, self._release_at) if self._worker.work is None else self._worker.due
        return min(own, self._computing.due)

    def step(self, timeout: float = 0.0) -> None:
        """Wait for an event, at most `timeout` seconds and never past the next timer; handle it; do what is due."""
        event = self._poll(0.0 if self._worker.busy else max(0.0, min(timeout, self.due - self._clock.now())))
        if event is not None:
            self._handle(event)
        if self._worker.work is None:
            self._availability.tick()
            self._release_if_idle()
        else:
            self._worker.tick()
        self._computing.tick()
        if self._worker.busy:
            self._worker.compute()

    def run(self, stop: StopSignal) -> None:
        """Step until `stop` is set; `close` is the caller's."""
        while not stop.is_set():
            self.step(POLL_SECONDS)

    def close(self) -> None:
        """Say that this device goes offline, and let go of everything; the work stays on disk for the next process."""
        self._worker.pause()
        self._computing.close()
        self.link.show(online=False)
        self.link.transport.close()
        self._status.show("stopped")
        self._records.close()

    # Events --------------------------------------------------------------------------------------------------------

    def _poll(self, seconds: float) -> Event | None:
        try:
            return self.link.transport.poll(seconds)
        except TransportError as error:  # a subscription that the broker refused, told once
            log.warning("%s", error)
            return None

    def _handle(self, event: Event) -> None:
        if isinstance(event, Connected):
            log.info("connected as %s in fleet %s", self.link.identity.device, self.link.identity.fleet)
            self.link.up = True
            self.link.show(online=True)
            self._availability.connected()
            if self._worker.work is not None:
                self._availability.check_in(self._worker.work)
                self._worker.connected()
        elif isinstance(event, Disconnected):
            self.link.up = False
            log.info("the link is down: %s", event.reason or "no reason known")
            self._availability.disconnected()
        else:
            self._on_message(event)

    def _on_message(self, message: Message) -> None:
        heard = self.link.hear(message)
        if heard is None:
            return
        body = heard.body
        if isinstance(body, Assignment):
            self._on_assignment(heard, body)
        elif isinstance(body, ComeBackLater):
            self._on_come_back(body)
        elif isinstance(body, BlobChunk):
            self._worker.hear(heard)
        elif isinstance(body, (UploadGrant, ChunkAck, ReportAck, Abort, *SECURE)):
            self._on_word(heard, body)

    def _on_word(self, heard: Heard, body: UploadGrant | ChunkAck | ReportAck | Abort | Secure) -> None:
        """Take what is said about one attempt; about another than the one in work it means nothing any more."""
        work = self._worker.work
        if work is None or (heard.round, body.attempt) != work.rank:
            log.debug("ignored %s: round %d is not in work", type(body).__name__, heard.round)
        elif isinstance(body, ReportAck):
            # Also while training anew after a crash: the coordinator holds what an earlier process sent.
            if body.accepted and not self._worker.acknowledged():
                return  # a secure round goes on: its sum is still masked
            outcome = Outcome.REPORTED if body.accepted else Outcome.REFUSED
            self._worker.end(outcome, sentence(body.reason), body.come_back)
        elif isinstance(body, Abort):
            self._worker.end(Outcome.ABORTED, sentence(body.reason), body.come_back)
        else:
            self._worker.hear(heard)

    def _on_come_back(self, body: ComeBackLater) -> None:
        seconds = bounded(body.seconds)
        if self._worker.work is not None:
            if not seconds:
                self._availability.check_in(self._worker.work)
                if self.state is DeviceState.UPLOADING:
                    self._worker.repeat()  # a coordinator that has just come has heard nothing of it
        elif seconds:
            why = body.reason or "no reason given"
            self._availability.sleep(seconds, f"told to come back in {seconds:.0f} s: {why}")
        else:
            self._availability.wake()

    # Assignments ---------------------------------------------------------------------------------------------------

    def _on_assignment(self, heard: Heard, asked: Assignment) -> None:
        work = Work(self.link.identity.fleet, heard.round, heard.message_id, asked, self._clock.wall())
        current = self._worker.work
        if current is not None:
            if work.same_as(current):
                self._worker.repeat()
                return
            if work.rank < current.rank:
                log.debug("ignored the assignment of %s: older than the one in work", work)
                return
            self._worker.end(Outcome.SUPERSEDED, f"{work} came")
        earlier = self._records.find(work.digest)
        if earlier is None or self._is_past(earlier):
            self._consider(work)
        elif earlier.outcome is Outcome.DECLINED:
            self.link.say(Decline(asked.attempt, sentence(earlier.reason)), work.round)

    def _is_past(self, entry: Entry) -> bool:
        """Whether a participation ended so long ago that no broker can be delivering its assignment again.

        A signed one is never past: who sends the same message again has recorded it.
        """
        if self.link.signed:
            return False
        return entry.ended is not None and self._clock.wall() - entry.ended > REPEAT_SECONDS

    def _consider(self, work: Work) -> None:
        reason = self._worker.refusal(work.asked)
        if reason is None:
            try:
                self._worker.accept(work)
                return
            except UnavailableError as error:
                log.warning("%s", error)
                reason = "the device cannot write to its disk"
        self.link.say(Decline(work.asked.attempt, sentence(reason)), work.round)
        try:
            self._records.begin(work.digest, work.round, work.asked, work.received, Outcome.DECLINED, reason)
        except UnavailableError as error:
            log.warning("not recorded: %s", error)
        self._availability.sleep(self._availability.recheck_seconds(), f"declined {work}: {reason}")

    def _release_if_idle(self) -> None:
        if self._clock.now() >= self._release_at:
            self._release_at = math.inf
            self._host.release()

    def _on_end(self, ended: Ended) -> None:
        self._release_at = self._clock.now() + RELEASE_SECONDS
        if ended.outcome is Outcome.REPORTED:
            self._availability.keep_distance(0.0)
        come_back = ended.come_back
        seconds = self._availability.recheck_seconds() if come_back is None else bounded(come_back)
        why = f"{ended.outcome.value} {ended.work}" + (f": {ended.reason}" if ended.reason else "")
        self._availability.sleep(seconds, why)
