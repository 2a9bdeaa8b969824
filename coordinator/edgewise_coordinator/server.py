"""The coordinator: carries messages between devices and the round's machine, and keeps everything that must last.

One thread, one loop: `step` takes what came in (`inbox`), makes reports safe (`safekeeping`), lets the machine decide,
and does what it decided (`answers`, `closing`). The parts share a `context`; none of them knows this file.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from edgewise_coordinator.active_round import ActiveRound
from edgewise_coordinator.aggregators.base import Aggregator
from edgewise_coordinator.aggregators.mean import mean
from edgewise_coordinator.algorithms.base import Algorithm
from edgewise_coordinator.algorithms.fedavg import fedavg
from edgewise_coordinator.answers import Answers
from edgewise_coordinator.catalog import LOCK, keep_artifact
from edgewise_coordinator.closing import Closing
from edgewise_coordinator.collecting.base import Collected, Keep, Late, Refuse
from edgewise_coordinator.collecting.noised import noised_by_devices
from edgewise_coordinator.collecting.plain import plain_updates
from edgewise_coordinator.collecting.private import private_updates
from edgewise_coordinator.context import Context
from edgewise_coordinator.faults import FaultHook, FaultPoint, no_fault
from edgewise_coordinator.fleet import Fleet
from edgewise_coordinator.inbox import Inbox
from edgewise_coordinator.latecomers import Latecomers
from edgewise_coordinator.link import Link
from edgewise_coordinator.machine import Abandon, Action, Assign, Close, Drop, Phase
from edgewise_coordinator.members import Members, Seal
from edgewise_coordinator.model import Model
from edgewise_coordinator.opening import SPOOL, Collect, Opening
from edgewise_coordinator.pace import NoPace, Pace
from edgewise_coordinator.pause import Pause
from edgewise_coordinator.privacy.base import NoPrivacy, Privacy
from edgewise_coordinator.privacy.opening import check_private, open_privacy
from edgewise_coordinator.privacy.rounds import PrivateRounds
from edgewise_coordinator.privacy.settings import PrivacySettings
from edgewise_coordinator.privacy.shared import SharedPrivacy, SharedRounds
from edgewise_coordinator.publisher import BlobPublisher
from edgewise_coordinator.recipe import Recipe
from edgewise_coordinator.resuming import Resuming
from edgewise_coordinator.roll_call import RollCall
from edgewise_coordinator.safekeeping import Safekeeping
from edgewise_coordinator.schedule import Schedule
from edgewise_coordinator.selection.base import Selection
from edgewise_coordinator.selection.limited import limited
from edgewise_coordinator.selection.separated import separated
from edgewise_coordinator.selection.uniform import uniform
from edgewise_coordinator.settings import Settings
from edgewise_coordinator.state import StateStore
from edgewise_coordinator.summary import RoundSummary
from edgewise_coordinator.sweeper import Sweeper
from edgewise_coordinator.update_transforms import UpdateTransform, chain, staleness_discount, unchanged
from edgewise_wire.artifact import Artifact
from edgewise_wire.clock import Clock, SystemClock
from edgewise_wire.errors import InputError, TransportError, UnavailableError
from edgewise_wire.files import locked, make_folder
from edgewise_wire.messages import Kind
from edgewise_wire.transforms import get
from edgewise_wire.transport.base import Event, Transport
from edgewise_wire.weights import Flat, parameters

log = logging.getLogger("edgewise.coordinator")

EVENTS_A_STEP = 512  # so that a flood of messages cannot keep the clock from being looked at
PUMP_WAIT = 0.01  # seconds until the transport is asked again whether it has room for more chunks
LONGEST_WAIT = 1.0  # seconds in `poll`; deadlines are met to this precision or better


def directory_lock(directory: Path) -> AbstractContextManager[None]:
    """Hold a coordinator's directory for one process; whoever changes something in it holds it.

    Raises:
        UnavailableError: if another process holds it.
    """
    refusal = f"{directory}: another coordinator runs there; wait for its end, or give this one its own --dir"
    return locked(make_folder(directory) / LOCK, refusal)


class Coordinator:
    """Runs rounds over one fleet until the model has `settings.rounds` versions more than its first.

    `directory` holds its memory (`state.sqlite`, `versions/`, `spool/`): a coordinator made anew over the same one
    goes on where the last one was, whatever killed it. `on_round` is called with each round's summary at its end.
    With `privacy` nothing but noised means of clipped updates becomes part of a version, and the rounds end when the
    budget is spent; with a `SharedPrivacy` the devices add the noise, and `collect` must be secure on its terms.
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
        collect: Collect = plain_updates,
        privacy: PrivacySettings | SharedPrivacy | None = None,
        members: Members | None = None,
        seal: Seal | None = None,
        on_round: Callable[[RoundSummary], None] = lambda summary: None,
        fault: FaultHook = no_fault,
    ) -> None:
        recipe = _recipe(settings, algorithm, aggregator, transform)
        if privacy is not None:
            check_private(recipe, settings)
            selection = separated(privacy.separation, selection)
        make_folder(directory)
        clock = clock or SystemClock()
        self.artifact, self.settings, self.directory, self.clock = artifact, settings, directory, clock
        self.on_round = on_round
        self.link = Link(settings.fleet, transport, clock, members=members, seal=seal)
        self.store = StateStore(directory / "state.sqlite")
        if privacy is not None:
            selection = limited(privacy.participations, self.store.counted_reports, selection)
        _check_directory(directory, self.store, settings.fleet, artifact)
        keep_artifact(directory, artifact)
        self.fleet = Fleet(clock, self.store.last_rounds(), settings.max_devices)
        need = 12 * parameters(artifact.manifest.weights) + (1 << 20)
        self.pause = Pause(directory, self.store, clock, need)
        self.publisher = BlobPublisher(settings.fleet, transport, clock, self.link.wrap, fault)
        size, made = parameters(artifact.manifest.weights), len(self.store.versions())
        private = open_privacy(privacy, directory, size, made)
        self.privacy: Privacy = private or NoPrivacy()
        self.privacy.settle(self.store.is_committed)
        if isinstance(private, PrivateRounds):
            collect = private_updates(private)
        elif isinstance(private, SharedRounds):
            collect = noised_by_devices(private.settings, collect)
        context = self._context = Context(
            artifact=artifact, settings=settings, directory=directory,
            recipe=recipe, selection=selection, pace=pace or NoPace(),
            clock=clock, fault=fault, link=self.link, publisher=self.publisher, store=self.store, pause=self.pause,
            fleet=self.fleet, sweeper=Sweeper(directory / SPOOL), privacy=self.privacy,
        )  # fmt: skip
        self.model = Model(context)
        self._answers = Answers(context, self.model.controls)
        self._safekeeping = Safekeeping(context, self._answers)
        self._inbox = Inbox(context, self._answers, self._safekeeping)
        opening = Opening(context, self.model, self._safekeeping, collect)
        self._schedule = Schedule(context, self.model, opening)
        self._closing = Closing(context, self.model, self._answers, self._ended)
        self._roll_call = RollCall(context, self._answers)
        self._latecomers = Latecomers(context, self._answers, getattr(collect, "late", None))
        self._decided: deque[Action] = deque()
        self.link.listen()
        self._resume(Resuming(context, self.model, opening))
        context.sweeper.left_behind(self.store, keep=settings.keep_updates)

    def _resume(self, resuming: Resuming) -> None:
        resuming.carried()
        for kind in (Kind.TRAIN, Kind.EVALUATE):
            current = resuming.round(kind)
            if current is not None and current.machine.phase is Phase.CLOSING and not self._closing.close(current):
                self._decided.append(Close())
        if self._context.rounds.carried and self.round is None:
            self._schedule.begin_next()  # before anything is read: devices are at work for a buffer that has no row yet

    # What it is doing ----------------------------------------------------------------------------------------------

    @property
    def round(self) -> ActiveRound | None:
        """The round in front, if there is one."""
        return self._context.rounds.front

    @property
    def version(self) -> int:
        """The number of the newest version."""
        return self.model.version

    @property
    def weights(self) -> Flat:
        """The newest version's weights, float32[parameters]."""
        return self.model.weights

    @property
    def bytes_down(self) -> int:
        """Payload bytes handed to the broker so far: messages to devices, and each blob once."""
        return self._context.bytes_down

    @property
    def complete(self) -> bool:
        """Whether every version asked for exists and has been measured."""
        return self._schedule.complete

    @property
    def finished(self) -> bool:
        """Whether nothing more will happen: complete, or too many rounds abandoned in a row."""
        return self._schedule.finished

    def describe(self) -> str:
        """Return a sentence about what is happening now."""
        online = len(self.fleet.online())
        if self.pause.active:
            return f"paused: {self.pause.reason}; {online} devices online"
        if self.round is None:
            return f"between rounds; {online} devices online"
        m = self.round.machine
        what = "evaluating" if m.kind is Kind.EVALUATE else "training"
        if (lacking := self.lacking()) is not None:
            wanted, available = lacking
            devices = "1 device" if wanted == 1 else f"{wanted} devices"
            return f"{what}: waits for {devices}, has {available} ({online} online in {self.settings.fleet!r})"
        if m.phase is Phase.SELECTION:
            return f"{what}: selection, {self.fleet.available()} of {online} devices online are available"
        return f"{what}: {m.phase.value}; {m.reports} of {m.goal} reports, {m.live} devices at work, {online} online"

    def lacking(self) -> tuple[int, int] | None:
        """Return how many devices a selection waits for and how many it has, or `None` where it does not lack any."""
        if self.pause.active or self.round is None or self.round.machine.phase is not Phase.SELECTION:
            return None
        m, available = self.round.machine, self.fleet.available()
        wanted = min(m.settings.goal, m.most or m.settings.goal)  # an evaluation waits for as many as a round
        return (wanted, available) if available < wanted else None

    def close(self) -> None:
        """Take the blobs off the broker and let go of the files."""
        self.model.offers.close()
        self.privacy.close()
        self._context.sweeper.close()
        self.store.close()

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
            self.take(event)
            wait = 0.0
        self._guarded(self.tick)

    def take(self, event: Event) -> None:
        """Handle one event of the transport."""
        self._guarded(self._inbox.take, event)

    def tick(self) -> None:
        """Do what is due.

        Raises:
            UnavailableError: if the disk refuses; what was decided is kept and done when this is called again.
        """
        self.publisher.pump()
        for device in self.link.members.leavers():
            self._answers.expel(device)
        if self.pause.tried():
            self._answers.call_participants()
        if self.pause.active:
            return
        self._roll_call.tick()
        self._latecomers.tick()
        if self.round is None:
            self._schedule.begin_next()
        current = self.round
        if current is None:
            return
        self._advance(current)
        if self.round is None and current.buffered:
            self._schedule.begin_next()  # at once: devices of the last buffer are at work for the next

    def _advance(self, current: ActiveRound) -> None:
        for each in self._context.rounds.all:
            each.desk.tick()
            for action in each.collection.tick(each.machine):
                self._collected(each, action)
        self._safekeeping.settle()
        if current.machine.phase is Phase.SELECTION:
            self._context.fault(FaultPoint.BEFORE_SELECTION)
        if not self._decided:
            self._decided.extend(current.machine.tick(self.fleet))
        self._work_off(current)

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

    def _until_due(self) -> float:
        now = self.clock.now()
        if self.pause.active:
            return max(0.0, self.pause.retry_at - now)
        return min(min(self._roll_call.due, self._latecomers.due) - now, self._until_round_is_due(now))

    def _until_round_is_due(self, now: float) -> float:
        current = self.round
        if current is None:
            return max(0.0, self._schedule.next_at - now)
        if self.publisher.busy:
            return PUMP_WAIT
        return min(current.machine.deadline(), current.desk.deadline(), current.collection.deadline()) - now

    # What the machine decided --------------------------------------------------------------------------------------

    def _work_off(self, current: ActiveRound) -> None:
        """Carry out what was decided; what the disk stops stays decided, and every action may be done twice."""
        assigns = [action for action in self._decided if isinstance(action, Assign)]
        if assigns:
            self._answers.assign(current, assigns)
            self._decided = deque(action for action in self._decided if not isinstance(action, Assign))
        while self._decided and self._carried_out(current, self._decided[0]):
            if self.round is not current:
                self._decided.clear()
                break
            self._decided.popleft()

    def _collected(self, current: ActiveRound, action: Collected) -> None:
        if isinstance(action, Keep):
            self._safekeeping.keep(current, action.report, action.update)
        elif isinstance(action, Refuse):
            self._answers.refuse(current, action.device, action.attempt, action.reason)
        elif isinstance(action, Late):
            self._latecomers.answer(action)
        else:
            self._carried_out(current, action)

    def _carried_out(self, current: ActiveRound, action: Action) -> bool:
        """Do it; return whether it is done. Closing may have to wait for what the round still collects."""
        if isinstance(action, Close):
            return self._closing.close(current)
        if isinstance(action, Drop):
            self._answers.drop(current, action)
        elif isinstance(action, Abandon):
            self._closing.abandon(current)
        return True

    def _ended(self, current: ActiveRound, summary: RoundSummary) -> None:
        self._schedule.ended(current)
        self._context.fault(FaultPoint.BEFORE_PUBLISH)
        self.on_round(summary)


def _check_directory(directory: Path, store: StateStore, fleet: str, artifact: Artifact) -> None:
    graph, found = artifact.graph_hash.hex(), store.meta("fleet", fleet)
    if found != fleet:
        raise InputError(f"{directory}: belongs to fleet {found!r}; choose another directory")
    if store.meta("graph", graph) != graph:
        raise InputError(f"{directory}: belongs to another model graph; choose another directory")


def _recipe(
    settings: Settings, algorithm: Algorithm | None, aggregator: Aggregator | None, transform: UpdateTransform
) -> Recipe:
    discount = unchanged if settings.buffer is None else staleness_discount
    recipe = Recipe(algorithm or fedavg(), aggregator or mean(), chain(transform, discount))
    recipe.check_cohort(settings.cohort)
    recipe.check_encoding(get(settings.training.encoding))
    return recipe
