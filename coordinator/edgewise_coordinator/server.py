"""The coordinator: carries messages between devices and the round's machine, and keeps everything that must last.

One thread, one loop: `step` takes what came in, makes reports safe (`safekeeping`), lets the machine decide, and does
what it decided.
"""

from __future__ import annotations

import logging
import shutil
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from edgewise_coordinator.active_round import ActiveRound
from edgewise_coordinator.aggregators.base import Aggregator
from edgewise_coordinator.aggregators.mean import mean
from edgewise_coordinator.algorithms.base import Algorithm
from edgewise_coordinator.algorithms.fedavg import fedavg
from edgewise_coordinator.catalog import keep_artifact
from edgewise_coordinator.controls import Controls, forget_controls
from edgewise_coordinator.decoding import PLAIN
from edgewise_coordinator.downlink import Downlink
from edgewise_coordinator.faults import FaultHook, FaultPoint, no_fault
from edgewise_coordinator.fleet import Fleet
from edgewise_coordinator.inbox import Inbox
from edgewise_coordinator.link import Link
from edgewise_coordinator.machine import Abandon, Action, Assign, Close, Drop, Participant, Phase
from edgewise_coordinator.members import Members, Seal
from edgewise_coordinator.offers import Offers
from edgewise_coordinator.opening import open_round
from edgewise_coordinator.pace import NoPace, Pace
from edgewise_coordinator.pause import Pause
from edgewise_coordinator.publisher import BlobPublisher
from edgewise_coordinator.recipe import Recipe
from edgewise_coordinator.refusals import kind_of
from edgewise_coordinator.reports import pool_measures
from edgewise_coordinator.resuming import resume
from edgewise_coordinator.safekeeping import Safekeeping
from edgewise_coordinator.selection.base import Selection
from edgewise_coordinator.selection.uniform import uniform
from edgewise_coordinator.settings import Settings
from edgewise_coordinator.spooled import Check, Spooled
from edgewise_coordinator.state import StateStore, VersionRow
from edgewise_coordinator.summary import RoundSummary
from edgewise_coordinator.update_transforms import UpdateTransform, chain, staleness_discount, unchanged
from edgewise_coordinator.uploads import UploadDesk
from edgewise_coordinator.versions import Versions
from edgewise_wire.artifact import Artifact
from edgewise_wire.clock import Clock, SystemClock
from edgewise_wire.errors import InputError, TransportError, UnavailableError
from edgewise_wire.files import locked, make_folder
from edgewise_wire.messages import Abort, Assignment, ComeBackLater, Kind, ReportAck
from edgewise_wire.transforms import get
from edgewise_wire.transport.base import Event, Transport
from edgewise_wire.weights import Flat, flatten, parameters, unflatten

log = logging.getLogger("edgewise.coordinator")

EVENTS_A_STEP = 512  # so that a flood of messages cannot keep the clock from being looked at
PUMP_WAIT = 0.01  # seconds until the transport is asked again whether it has room for more chunks
LONGEST_WAIT = 1.0  # seconds in `poll`; deadlines are met to this precision or better


class Made(NamedTuple):
    """What a training round made: the version's row, its weights (and before they were shortened), the state."""

    row: VersionRow
    weights: Flat
    exact: Flat
    state: dict[str, object]


def directory_lock(directory: Path) -> AbstractContextManager[None]:
    """Hold a coordinator's directory for one process; whoever changes something in it holds it.

    Raises:
        UnavailableError: if another process holds it.
    """
    refusal = f"{directory}: another coordinator runs there; wait for its end, or give this one its own --dir"
    return locked(make_folder(directory) / "coordinator.lock", refusal)


class Coordinator:
    """Runs rounds over one fleet until the model has `settings.rounds` versions more than its first.

    `directory` holds its memory (`state.sqlite`, `versions/`, `spool/`): a coordinator made anew over the same one
    goes on where the last one was, whatever killed it. `on_round` is called with each round's summary at its end.
    A directory that cannot be written any more makes it hold still until it can (`pause`); `fault` is called at each
    point of `faults.FaultPoint`.

    Raises:
        InputError: if the directory belongs to another fleet or another model.
        UnavailableError: if the directory cannot be written at the start.
    """

    def __init__(
        self,
        artifact: Artifact,
        transport: Transport,
        directory: Path,
        settings: Settings,
        *,
        clock: Clock | None = None,
        algorithm: Algorithm | None = None,
        aggregator: Aggregator | None = None,
        transform: UpdateTransform = unchanged,
        selection: Selection = uniform,
        pace: Pace | None = None,
        members: Members | None = None,
        seal: Seal | None = None,
        on_round: Callable[[RoundSummary], None] = lambda summary: None,
        fault: FaultHook = no_fault,
    ) -> None:
        make_folder(directory)
        self.artifact, self.settings, self.directory = artifact, settings, directory
        self.clock = clock or SystemClock()
        discount = unchanged if settings.buffer is None else staleness_discount
        self.recipe = Recipe(algorithm or fedavg(), aggregator or mean(), chain(transform, discount))
        self.recipe.check_cohort(settings.cohort)
        codec = get(settings.training.encoding)
        self.recipe.check_encoding(codec)
        self.pace: Pace = pace or NoPace()
        self.on_round = on_round
        self.fault = fault
        self.link = Link(settings.fleet, transport, self.clock, members=members, seal=seal)
        self.store = StateStore(directory / "state.sqlite")
        self._check_directory()
        keep_artifact(directory, artifact)
        self.fleet = Fleet(self.clock, self.store.last_rounds())
        self.parameters = parameters(artifact.manifest.weights)
        self.versions = Versions(directory / "versions", self.store, self.parameters, fault)
        self.pause = Pause(directory, self.store, self.clock, need=12 * self.parameters + (1 << 20))
        self.publisher = BlobPublisher(settings.fleet, transport, self.clock, self.link.wrap, fault)
        self.round: ActiveRound | None = None
        self.waiting: ActiveRound | None = None
        self.carried: list[Participant] = []
        self.desk: UploadDesk | None = None
        self.blobs_url = ""  # where devices may fetch the blobs over HTTP, told with every assignment
        self.downlink = Downlink(directory, settings.downlink, self.parameters)
        self.version, self.weights, self.state = self._load_model()
        self.exact = self.downlink.exact(self.version, self.weights)
        self.offers = Offers(self.publisher, artifact, self.store)
        self.controls = Controls(self.recipe.algorithm.client, self.store, feedback=codec.stateful)
        self.inbox = Inbox(self)
        self.safekeeping = Safekeeping(self)
        self.selection = selection
        self._next_round_at = self.clock.now()
        self._abandoned_in_a_row = 0
        self._decided: deque[Action] = deque()
        self.link.listen()
        resume(self)

    # The loop ------------------------------------------------------------------------------------------------------

    def run(self, stop: Callable[[], bool] = lambda: False) -> bool:
        """Run until the last round, or until `stop()`; return whether every round was committed."""
        while not self.finished and not stop():
            self.step(LONGEST_WAIT)
        return self.complete

    def step(self, timeout: float = 0.0) -> None:
        """Take what came in (waiting `timeout` seconds at most), then do what is due."""
        wait = max(0.0, min(timeout, self._until_due()))
        for _ in range(EVENTS_A_STEP):
            event = self._poll(wait)
            if event is None:
                break
            self._guarded(self.inbox.take, event)
            wait = 0.0
        self._guarded(self.tick)

    def _poll(self, seconds: float) -> Event | None:
        try:
            return self.link.transport.poll(seconds)
        except TransportError as error:  # the broker refused something, and says so once
            log.warning("%s", error)
            return None

    def _guarded(self, act: Callable[..., None], *arguments: object) -> None:
        try:
            act(*arguments)
        except UnavailableError as error:
            self.pause.begin(error)

    def tick(self) -> None:
        """Do what is due.

        Raises:
            UnavailableError: if the disk refuses; what was decided is kept and done when this is called again.
        """
        self.publisher.pump()
        for device in self.link.members.leavers():
            self.expel(device)
        if self.pause.tried():
            self._call_participants()
        if self.pause.active:
            return
        if self.round is None:
            self.begin_next()
        current = self.round
        if current is None:
            return
        for each in self.open_rounds:
            each.desk.tick()
        self.safekeeping.settle()
        if current.machine.phase is Phase.SELECTION:
            self.fault(FaultPoint.BEFORE_SELECTION)
        if not self._decided:
            self._decided.extend(current.machine.tick(self.fleet))
        self._work_off(current)
        if self.round is None and current.buffered:
            self.begin_next()  # at once: devices of the last buffer are at work for the next

    @property
    def open_rounds(self) -> list[ActiveRound]:
        """The rounds that devices may be at work for: the one in front, and a buffer that waits for an evaluation."""
        return [current for current in (self.round, self.waiting) if current is not None]

    def round_of(self, device: str, default: int) -> int:
        """Return the round that messages about a device's training are about."""
        training = (current for current in self.open_rounds if current.kind is Kind.TRAIN)
        return next((current.round_of(device) for current in training), default)

    def _call_participants(self) -> None:
        """After a pause: whoever holds an update need not wait for its own timer."""
        for current in self.open_rounds:
            for p in current.machine.participants.values():
                if p.status.live:
                    self.call(p.device)

    @property
    def complete(self) -> bool:
        """Whether every version asked for exists and has been measured."""
        return self.version >= self.settings.rounds and not self._evaluation_due() and self.round is None

    @property
    def finished(self) -> bool:
        """Whether nothing more will happen: complete, or too many rounds abandoned in a row."""
        return self.complete or (self.round is None and self._abandoned_in_a_row > self.settings.max_abandoned)

    def describe(self) -> str:
        """Return a sentence about what is happening now."""
        online = len(self.fleet.online())
        if self.pause.active:
            return f"paused: {self.pause.reason}; {online} devices online"
        if self.round is None:
            return f"between rounds; {online} devices online"
        m = self.round.machine
        what = "evaluating" if m.kind is Kind.EVALUATE else "training"
        if m.phase is Phase.SELECTION:
            wanted = m.settings.goal if m.kind is Kind.TRAIN else "all"
            return (
                f"{what}: selection in fleet {self.settings.fleet!r}; "
                f"{self.fleet.available()} of {online} devices online are available, {wanted} wanted"
            )
        return f"{what}: {m.phase.value}; {m.reports} of {m.goal} reports, {m.live} devices at work, {online} online"

    def model_bytes(self) -> bytes:
        """Return the model file with the newest weights in it."""
        return self.artifact.with_weights(unflatten(self.weights, self.artifact.manifest.weights))

    def close(self) -> None:
        """Take the blobs off the broker and let go of the files."""
        self.offers.close()
        self.store.close()

    # The beginning of a round ---------------------------------------------------------------------------------------

    def begin_next(self) -> None:
        """Begin the next round, if there is one and its time has come."""
        if self.finished or self.clock.now() < self._next_round_at:
            return
        if self.settings.buffer is not None and self.waiting is None and self.version < self.settings.rounds:
            self.waiting = self._begin(Kind.TRAIN)
        if self._evaluation_due():
            self.round = self._begin(Kind.EVALUATE)
        elif self.waiting is not None:
            self.round, self.waiting = self.waiting, None
        else:
            self.round = self._begin(Kind.TRAIN)

    def _begin(self, kind: Kind) -> ActiveRound:
        begun = self.store.unfinished_round(kind)  # by an attempt that the disk stopped half-way
        round_id = begun.round_id if begun else self.store.begin_round(kind, self.version, self.clock.wall())
        self.fault(FaultPoint.ROUND_RECORDED)
        return open_round(self, kind, round_id)

    def measures(self, version: int) -> bool:
        """Return whether this version is to be evaluated on the devices: every n-th one and the last."""
        every = self.settings.evaluate_every
        return bool(every) and (version % every == 0 or version >= self.settings.rounds)

    def _evaluation_due(self) -> bool:
        return self.measures(self.version) and self.version > int(self.store.recall("evaluated", "-1"))

    @property
    def bytes_down(self) -> int:
        """Payload bytes handed to the broker so far: messages to devices, and each blob once."""
        return self.link.bytes_down + self.publisher.bytes_published

    # What the machine decided ---------------------------------------------------------------------------------------

    def _work_off(self, current: ActiveRound) -> None:
        """Carry out what was decided; what the disk stops stays decided, and every action may be done twice."""
        assigns = [action for action in self._decided if isinstance(action, Assign)]
        if assigns:
            self._assign(current, assigns)
            self._decided = deque(action for action in self._decided if not isinstance(action, Assign))
        while self._decided:
            self._carry_out(current, self._decided[0])
            if self.round is not current:
                self._decided.clear()
                break
            self._decided.popleft()

    def _carry_out(self, current: ActiveRound, action: Action) -> None:
        if isinstance(action, Drop):
            self._drop(current, action)
        elif isinstance(action, Close):
            self.close_round(current)
        elif isinstance(action, Abandon):
            self._end(current, {}, None)

    def _assign(self, current: ActiveRound, actions: Sequence[Assign]) -> None:
        machine = current.machine
        self.fault(FaultPoint.AFTER_SELECTION)
        # Written before anyone is told, so that no device can answer for a round which a restart would not know.
        told = [machine.participants[a.device] for a in actions]
        self.store.configure_round(current.round_id, machine.goal, told, current.number)
        self.fault(FaultPoint.BEFORE_ASSIGNMENT)
        for action in actions:
            self.fleet.take(action.device, current.number)
            self.send_assignment(current, action.device, action.attempt)
            self.fault(FaultPoint.AFTER_ASSIGNMENT)

    def send_assignment(self, current: ActiveRound, device: str, attempt: int) -> None:
        """Tell a device what the round asks of it; telling it again does no harm."""
        training = self.settings.training
        template = Assignment(
            epochs=training.epochs,
            learning_rate=training.learning_rate,
            max_examples=training.max_examples,
            seed=current.decoder.seed,
            blobs_url=self.blobs_url,
        )
        if current.kind is Kind.TRAIN:
            template = replace(template, encoding=current.decoder.codec.name)
            template = self.controls.add_to(template, device)
        self.link.send(device, current.assignment(device, attempt, template), current.round_id)

    def _drop(self, current: ActiveRound, action: Drop) -> None:
        current.desk.forget(action.device)
        away = self.pace.dropped(self.fleet.online_count)
        self.fleet.release(action.device, away)
        self.link.send(action.device, Abort(action.attempt, action.reason, away), current.round_of(action.device))

    def close_round(self, current: ActiveRound) -> None:
        """Make a version (or metrics) out of a round's reports; done again after a crash, it comes to the same."""
        self.fault(FaultPoint.BEFORE_CLOSING)
        self.store.close_round(current.round_id)
        self.fault(FaultPoint.BEFORE_AGGREGATE)
        reports = self.store.reports(current.round_id)
        if current.kind is Kind.EVALUATE:
            metrics = pool_measures(reports)
            self.fault(FaultPoint.AFTER_AGGREGATE)
            self.store.set_metrics(current.version, metrics)
            self._end(current, metrics, None)
            return
        exact, state = self.recipe.step(self.exact, self.state, current.total, reports)
        self.fault(FaultPoint.AFTER_AGGREGATE)
        made = self._save_version(current, exact, state)
        self.fault(FaultPoint.AFTER_VERSION_FILES)
        self._end(current, {}, made)

    def _save_version(self, current: ActiveRound, exact: Flat, state: dict[str, object]) -> Made:
        version = current.version + 1
        weights = self.downlink.publish(version, exact, self.weights)
        name = self.versions.save(version, weights, state)
        row = VersionRow(version, current.version, current.round_id, name, self.clock.wall(), {})
        return Made(row, weights, exact, state)

    def _end(self, current: ActiveRound, metrics: dict[str, float], made: Made | None) -> None:
        machine = current.machine
        if machine.phase is not Phase.ABANDONED:
            machine.phase = Phase.COMMITTED
        summary = current.summary(
            self.store.reports(current.round_id),
            self.clock.now() - current.started,
            self.link.bytes_up,
            self.bytes_down,
        )
        summary.metrics = metrics
        if made is not None:
            summary.version = made.row.version
        now, row = self.clock.wall(), made.row if made is not None else None
        measured = current.version if current.kind is Kind.EVALUATE else None
        self.store.end_round(current.round_id, machine.phase, machine.reason, now, summary.as_dict(), row, measured)
        if made is not None:
            self.version, self.weights, self.state = made.row.version, made.weights, made.state
            self.exact = made.exact
            self.controls.counted(current.round_id, current.machine.participants.values())
        self.fault(FaultPoint.AFTER_COMMIT)
        self._after(current, summary)

    def _after(self, current: ActiveRound, summary: RoundSummary) -> None:
        abandoned = current.machine.phase is Phase.ABANDONED
        if current.kind is Kind.TRAIN:
            self._abandoned_in_a_row = self._abandoned_in_a_row + 1 if abandoned else 0
        self._next_round_at = self.clock.now() + (self.settings.cohort.retry_delay if abandoned else 0.0)
        if current.buffered:
            self._carry_over(current)
        else:
            current.desk.close()
            if not self.settings.keep_updates:
                shutil.rmtree(current.spool, ignore_errors=True)
        self.round = None
        self.fault(FaultPoint.BEFORE_PUBLISH)
        self.on_round(summary)

    def _carry_over(self, current: ActiveRound) -> None:
        """What a full buffer leaves to the next one: its devices at work and their uploads; its own files go."""
        self.carried = [p for p in current.machine.participants.values() if p.status.live]
        for report in () if self.settings.keep_updates else self.store.reports(current.round_id):
            (current.spool / report.file).unlink(missing_ok=True)
            (current.spool / report.file).with_suffix(PLAIN).unlink(missing_ok=True)
        if self.version >= self.settings.rounds:
            for p in self.carried:
                current.machine.failed(p.device, p.attempt, "the last round is over")
                self._drop(current, Drop(p.device, p.attempt, "the last round is over"))
            current.desk.close()

    # Reports -------------------------------------------------------------------------------------------------------

    def weigh(self, current: ActiveRound, device: str, file: Path, examples: int, check: Check | None) -> Spooled:
        """Return an update as a term of the round's sum. Raises InputError or ProtocolError if it cannot be one."""
        most, plain = self.settings.uploads.max_norm, current.decoder.plain(device, file, current.round_of(device))
        stale = current.machine.staleness(device)
        return self.recipe.weigh(plain, self.parameters, examples, max_norm=most, check=check, staleness=stale)

    def fold(self, current: ActiveRound, update: Spooled) -> None:
        """Add a recorded update to the round's sum."""
        current.total.add(update)
        if not self.recipe.aggregator.robust:  # which would read it again at the end
            current.decoder.done(update.path)

    def accept(self, current: ActiveRound, device: str, attempt: int) -> None:
        """Count a report that is safely recorded, and tell its device."""
        current.machine.reported(device, attempt)
        away = self.pace.accepted(self.fleet.online_count)
        self.fleet.release(device, away)
        self.link.send(device, ReportAck(attempt, accepted=True, come_back=away), current.round_of(device))
        self.fault(FaultPoint.AFTER_ACKNOWLEDGEMENT)

    def refuse(self, current: ActiveRound, device: str, attempt: int, reason: str) -> None:
        """Turn a report down, count why, and tell its device."""
        self.link.refused[kind_of(reason)] += 1
        log.warning("%s: refused in round %d: %s", device, current.round_id, reason)
        current.machine.failed(device, attempt, reason)
        current.desk.forget(device)
        away = self.pace.late(self.fleet.online_count)
        self.fleet.release(device, away)
        self.link.send(device, ReportAck(attempt, False, reason[:500], away), current.round_of(device))

    def expel(self, device: str) -> None:
        """Be done with a revoked device: what it has sent of an update is dropped, its place in the round is free."""
        for current in self.open_rounds:
            at_work = current.machine.participants.get(device)
            if at_work is not None and current.live(device, at_work.attempt):
                current.machine.failed(device, at_work.attempt, "revoked")
                current.desk.forget(device)
        self.fleet.release(device)
        self.fleet.presence(device, False, 0)
        log.warning("%s: revoked; nothing that it says is taken any more", device)

    # Who is to come, and when --------------------------------------------------------------------------------------

    def steer(self, device: str) -> None:
        """Tell a device that has just offered itself when to come back, if it came too early or there are enough."""
        left, crowd = self.fleet.too_early(device), self.fleet.online_count
        buffer = self.settings.buffer
        target = self.settings.cohort.target if buffer is None else buffer.concurrency
        if left is not None:
            self.link.send(device, ComeBackLater(left, "it is not time yet"))
        elif self.pace.crowded(crowd, self.fleet.available() - 1, target):
            away = self.pace.dropped(crowd)
            self.fleet.send_away(device, away)
            self.link.send(device, ComeBackLater(away, "enough devices are waiting"))

    def call(self, device: str) -> None:
        """Ask a device to check in now."""
        self.link.send(device, ComeBackLater(0.0, "please check in"))

    # The model -----------------------------------------------------------------------------------------------------

    def _check_directory(self) -> None:
        graph = self.artifact.graph_hash.hex()
        fleet = self.store.meta("fleet", self.settings.fleet)
        if fleet != self.settings.fleet:
            raise InputError(f"{self.directory}: belongs to fleet {fleet!r}; choose another directory")
        if self.store.meta("graph", graph) != graph:
            raise InputError(f"{self.directory}: belongs to another model graph; choose another directory")

    def _load_model(self) -> tuple[int, Flat, dict[str, object]]:
        version = self.versions.latest()
        if version is None:
            weights = flatten(self.artifact.weights(), self.artifact.manifest.weights)
            state = self.recipe.algorithm.init(weights)
            weights = self.downlink.publish(0, weights, weights)
            return self.versions.add_first(weights, state, self.clock.wall()), weights, state
        weights, state = self.versions.load(version)
        going_on = self.recipe.state_of(weights, state)
        if going_on is not state and self.recipe.algorithm.client.control:
            forget_controls(self.store)
        return version, weights, going_on

    def _until_due(self) -> float:
        now = self.clock.now()
        if self.pause.active:
            return max(0.0, self.pause.retry_at - now)
        if self.round is None:
            return max(0.0, self._next_round_at - now)
        if self.publisher.busy:
            return PUMP_WAIT
        return min(self.round.machine.deadline(), self.round.desk.deadline()) - now
