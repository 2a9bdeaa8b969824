"""The device at work on one assignment, from its acceptance to its end, whatever the end is."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgewise_edge.admission import Admission
from edgewise_edge.budget import Budget
from edgewise_edge.deltas import weights_to_fetch
from edgewise_edge.download import Download
from edgewise_edge.home import Home
from edgewise_edge.host import Host
from edgewise_edge.jobs import Computed, Computing, Job
from edgewise_edge.link import Heard, Link, sentence
from edgewise_edge.model import LatestModel
from edgewise_edge.participation import Outcome, ParticipationLog
from edgewise_edge.phases import Compute, Phase, SendReport
from edgewise_edge.policy import Policy
from edgewise_edge.separation import Separation
from edgewise_edge.session import Report, SessionFolder, Work
from edgewise_edge.status import Status
from edgewise_edge.upload import Upload
from edgewise_wire.blobs import BlobStore
from edgewise_wire.clock import Clock
from edgewise_wire.errors import EdgewiseError, UnavailableError
from edgewise_wire.messages import (
    Accept,
    Assignment,
    BlobRef,
    Decline,
    DeviceState,
    Kind,
    UploadRequest,
)

if TYPE_CHECKING:
    from edgewise_wire.crypto.enrolled import Papers

log = logging.getLogger(__name__)

CONDITION_SECONDS = 5.0  # how often a working device that computes nothing looks at its conditions
ACCOUNT_SECONDS = 30.0  # a killed process forgets at most so much of the time it computed
UNMASK_SECONDS = 300.0  # a device whose masked update counts stays so long to open the sum, whatever the deadline was
BEGINNINGS_MAX = 3  # a graph that kills the process is not tried for ever


@dataclass(frozen=True, slots=True)
class Ended:
    """How work ended. `come_back` is in seconds, `None` where nobody said."""

    work: Work
    outcome: Outcome
    reason: str = ""
    come_back: float | None = None


class Worker:
    """Holds at most one assignment and takes it through its phases.

    Law: whatever is told to the coordinator is on disk before; whatever goes wrong ends the work and not the agent.
    `on_end` is called once for every assignment taken up.
    """

    def __init__(
        self, home: Home, link: Link, host: Host, status: Status, model: LatestModel, records: ParticipationLog,
        *, clock: Clock, policy: Callable[[], Policy], budget: Budget, computing: Computing,
        on_end: Callable[[Ended], None],
        papers: Callable[[], Papers] | None = None,
    ) -> None:  # fmt: skip
        self.work: Work | None = None
        self._home = home
        self._link = link
        self._host = host
        self._computing = computing
        self._status = status
        self._model = model
        self._records = records
        self._clock = clock
        self._policy = policy
        self._budget = budget
        self._accounted = 0.0
        self._on_end = on_end
        self._papers = papers
        self._blobs = BlobStore(home.blobs)
        self._admission = Admission(host, self._blobs, policy, budget, Separation(records, policy))
        self._session = SessionFolder(home.session, link.identity.fleet)
        self._phase = Phase()
        self._deadline = self._condition_at = math.inf

    @property
    def busy(self) -> bool:
        """Whether there is something to compute."""
        return self._phase.busy

    @property
    def due(self) -> float:
        """When the next timer acts."""
        return min(self._deadline, self._phase.due, self._condition_at)

    # Beginnings ----------------------------------------------------------------------------------------------------

    def refusal(self, asked: Assignment) -> str | None:
        """Return why this device does not take an assignment, or `None`; nothing is allocated or written for it."""
        try:
            return self._admission.refusal(asked)
        except EdgewiseError as error:
            return self._discreet(error)

    def accept(self, work: Work) -> None:
        """Take an assignment and begin.

        Raises:
            UnavailableError: if it cannot be kept on disk; then it is not taken.
        """
        self._session.save(work)
        self._records.begin(work.digest, work.round, work.asked, work.received, Outcome.WORKING)
        self._link.say(Accept(work.asked.attempt), work.round)
        self._take_up(work, self._policy().seconds_allowed(work.asked.deadline))
        self._begin(self._download(work))

    def resume(self) -> None:
        """Go on where an earlier process stopped, if it stopped in the middle."""
        found = self._session.load()
        self._records.close_open(found[0].digest if found else b"", self._clock.wall())
        if found is None:
            return
        work, report = found
        entry = self._records.find(work.digest)
        if entry is not None and entry.outcome is not Outcome.WORKING:
            self._session.clear()  # it had ended; only its files had not gone yet
            return
        if entry is None:
            self._records.begin(work.digest, work.round, work.asked, self._clock.wall(), Outcome.WORKING)
        allowed = self._policy().seconds_allowed(work.asked.deadline)
        # A device's clock may have jumped: never wait longer than the deadline, never believe that it lies ahead.
        passed = min(max(self._clock.wall() - work.received, 0.0), allowed) if work.received else 0.0
        log.info("taking up %s where it was left", work)
        self._take_up(work, allowed - passed)
        self._begin(self._download(work) if report is None else self._sending(work, report))

    def _take_up(self, work: Work, seconds: float) -> None:
        self.work = work
        now = self._clock.now()
        self._deadline, self._condition_at = now + seconds, now + CONDITION_SECONDS
        self._status.enter(DeviceState.ASSIGNED, work)

    # What happens --------------------------------------------------------------------------------------------------

    def connected(self) -> None:
        """The link came up again."""
        self._guarded(self._phase.connected)

    def hear(self, heard: Heard) -> None:
        """Take a message about this work."""
        self._guarded(lambda: self._phase.hear(heard))

    def acknowledged(self) -> bool:
        """Take word that the coordinator has the report safe; return whether the work is done with that."""
        done = self._phase.acknowledged()
        if not done:
            self._deadline = max(self._deadline, self._clock.now() + UNMASK_SECONDS)
        return done

    def repeat(self) -> None:
        """Say again what was last said about this work."""
        if self._status.state is DeviceState.UPLOADING:
            self._phase.repeat()
        elif self.work is not None:
            self._link.say(Accept(self.work.asked.attempt), self.work.round)

    def tick(self) -> None:
        """Do what is due, and begin the next phase if this one is finished."""
        now = self._clock.now()
        if now >= self._deadline:
            doing = self._status.state.name.lower()
            self.give_up(Outcome.EXPIRED, f"the deadline passed while the device was {doing}")
            return
        if now >= self._condition_at:
            self._condition_at = now + CONDITION_SECONDS
            if why := self._host.obstacle() or self._overrun():
                self.give_up(Outcome.DECLINED, why)
                return
        if now >= self._phase.due:
            self._guarded(self._phase.tick)
        self._guarded(self._advance)
        if self.work is not None:
            self._status.progress(self.work, self._phase.progress)

    def compute(self) -> None:
        """Compute one batch, unless the device may not any more."""
        if why := self._host.obstacle() or self._overrun():
            self.give_up(Outcome.DECLINED, why)
            return
        self._guarded(self._phase.compute)
        if self._phase.seconds - self._accounted >= ACCOUNT_SECONDS:
            self._account()

    def pause(self) -> None:
        """Let go of everything but the files, from which the next process resumes."""
        self._phase.stop()

    # Phases --------------------------------------------------------------------------------------------------------

    def _begin(self, phase: Phase) -> None:
        self._leave_phase()
        self._phase = phase
        self._status.enter(phase.state, self.work)
        self._guarded(phase.start)

    def _overrun(self) -> str | None:
        """Return which of the owner's limits a day this work has passed by now."""
        moved = self._phase.bytes_down + self._phase.bytes_up
        return self._budget.overrun(self._phase.seconds - self._accounted, moved)

    def _account(self) -> None:
        """Write down the time computed since the last call: also work that is given up, or killed, takes it."""
        seconds = self._phase.seconds - self._accounted
        if self.work is not None and seconds > 0:
            self._recorded(self._records.add_seconds, self.work.digest, seconds)
            self._accounted = self._phase.seconds
            self._budget.changed()

    def _leave_phase(self) -> None:
        self._account()
        self._accounted = 0.0
        phase, self._phase = self._phase, Phase()
        phase.stop()
        if self.work is not None and (phase.bytes_down or phase.bytes_up):
            self._recorded(
                lambda digest: self._records.add_traffic(
                    digest, phase.bytes_down, phase.bytes_up, metered=self._budget.metered()
                ),
                self.work.digest,
            )
            self._budget.changed()

    def _advance(self) -> None:
        work, phase = self.work, self._phase
        if work is None or not phase.finished:
            return
        if isinstance(phase, Download):
            if self._session.count_begin() > BEGINNINGS_MAX:
                self.give_up(Outcome.FAILED, f"the process ended {BEGINNINGS_MAX} times while it computed this")
            else:
                self._begin(self._compute(work))
        elif isinstance(phase, Compute):
            self._keep_model(work)
            found = phase.take_result()
            report = self._keep_report(work, found)
            self._begin(self._sending(work, report) if report else self._download(work, [work.asked.weights]))

    def _download(self, work: Work, weights: list[BlobRef] | None = None) -> Download:
        graph = [work.asked.graph] if work.asked.graph.size else []  # a round that looks for words has none
        refs = [*graph, *(weights or weights_to_fetch(work.asked, self._blobs))]
        refs += [work.asked.control] if work.asked.correction else []
        return Download(self._link, self._clock, self._blobs, work.round, refs, work.asked.blobs_url)

    def _compute(self, work: Work) -> Compute:
        most = self._policy().examples_used(work.asked.max_examples, self._host.counts().of(work.asked.kind))
        if work.asked.kind == Kind.DISCOVER:
            most = self._policy().max_votes
        job = Job(self._home, work, self._link.identity.device, most)
        return Compute(self._clock, lambda: self._computing(job))

    def _sending(self, work: Work, report: Report) -> Phase:
        if work.asked.secure.cohort:
            return self._secure(work)
        if isinstance(report, UploadRequest):
            return Upload(self._link, self._clock, work.round, report, self._session.update, to=work.asked.aggregator)
        return SendReport(self._link, self._clock, work, report)

    def _secure(self, work: Work) -> Phase:
        from edgewise_edge.secure_report import SecureReport  # `cryptography`, only where it is needed

        policy = self._policy()
        return SecureReport(
            self._link, self._clock, self._blobs, self._session, work,
            least=(policy.min_cohort, policy.min_threshold), papers=self._papers() if self._papers else None,
        )  # fmt: skip

    def _keep_report(self, work: Work, found: Computed) -> Report | None:
        """Put the report on disk, whose update is there already."""
        if found.report is not None:
            self._session.save_report(work, found.report)
            self._recorded(self._records.note, work.digest, found.figures)
        return found.report

    def _keep_model(self, work: Work) -> None:
        """Note the round's model as the latest, if it is here: it predicts, and the next round needs less of it."""
        refs = (work.asked.graph, work.asked.weights)
        if work.asked.kind != Kind.DISCOVER and all(self._blobs.has(ref.hash) for ref in refs):
            self._model.save(work.asked, work.round)

    # Ends ----------------------------------------------------------------------------------------------------------

    def give_up(self, outcome: Outcome, reason: str) -> None:
        """End the work of the device's own accord, and say so."""
        if self.work is not None:
            self._link.say(Decline(self.work.asked.attempt, sentence(reason)), self.work.round)
            self.end(outcome, reason)

    def end(self, outcome: Outcome, reason: str = "", come_back: float | None = None) -> None:
        """End the work: the record first, then the files, so that a crash between the two repeats nothing."""
        work = self.work
        if work is None:
            return
        if self._phase.safe:
            outcome = Outcome.REPORTED  # the update counts, however the rest of a secure round went
        if outcome is Outcome.REPORTED:
            self._status.enter(DeviceState.REPORTED, work)
        self._leave_phase()
        self.work, self._deadline, self._condition_at = None, math.inf, math.inf
        self._recorded(self._records.end, work.digest, self._clock.wall(), outcome, reason)
        self._recorded(self._session.clear)
        self._recorded(self._keep_model, work)
        self._recorded(self._blobs.prune, self._model.hashes())
        self._on_end(Ended(work, outcome, reason, come_back))

    def _recorded(self, act: Callable[..., object], *arguments: object) -> None:
        """Write down what is done anyway; a full disk must not keep the device from ending it."""
        try:
            act(*arguments)
        except (UnavailableError, OSError) as error:
            log.warning("not recorded: %s", error)

    def _guarded(self, act: Callable[[], None]) -> None:
        try:
            act()
        except (EdgewiseError, OSError, MemoryError) as error:
            self.give_up(Outcome.FAILED, self._discreet(error))

    def _discreet(self, error: BaseException) -> str:
        """Return an error's words without the owner's paths: they go to the coordinator."""
        return str(error).replace(str(self._home.path), "HOME") or type(error).__name__
