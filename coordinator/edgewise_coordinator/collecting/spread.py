"""Updates that several aggregators take in, each its share of the devices; their partial sums are merged at the end.

The coordinator remains the judge of every report: an aggregator tells what it has stored, the coordinator records it,
answers the device, and says what the update counts. The sum is exact, so it is the same as one process would make,
bit for bit, whatever the number of aggregators and whichever of them was killed.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from edgewise_coordinator.aggregators.mean import StreamingMean
from edgewise_coordinator.algorithms.base import Aggregate
from edgewise_coordinator.collecting.base import Collected, CollectionError, Keep, Late, Refuse
from edgewise_coordinator.collecting.plain import PlainUpdates, plain_updates
from edgewise_coordinator.context import Context
from edgewise_coordinator.distributed.engine import Engine, Reduction
from edgewise_coordinator.distributed.orders import (
    Count,
    End,
    Expect,
    Forget,
    Heard,
    Lost,
    Notice,
    Open,
    Stored,
    Stray,
    Term,
)  # fmt: skip
from edgewise_coordinator.distributed.orders import Refused as RefusedThere
from edgewise_coordinator.machine import RoundMachine
from edgewise_coordinator.model import Model
from edgewise_coordinator.recipe import Recipe
from edgewise_coordinator.settings import Settings
from edgewise_coordinator.spooled import Spooled
from edgewise_coordinator.state import Report
from edgewise_wire.errors import ConfigError
from edgewise_wire.messages import Assignment

LOOK_SECONDS = 0.02  # how long a notice may wait
PATIENCE_SECONDS = 300.0  # for an aggregator that is gone with updates which were acknowledged
AGAIN_SECONDS = 1.0  # until a sum that could not be made is asked for again
REMEMBERED = "aggregators"  # how many the newest round was begun with, where the state keeps it
NORM = "l2_norm"


class SpreadOver:
    """The way of collecting over an engine's aggregators (a `Collect`), and what they say while no round trains."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._counted: dict[str, Heard] = {}

    def __call__(self, context: Context, model: Model, round_id: int) -> SpreadUpdates:
        """Return a training round's collection. Raises ConfigError if it cannot be spread."""
        check_spread(context.recipe, context.settings)
        _check_number(context, round_id, len(self._engine.names))
        plain = plain_updates(context, model, round_id)
        return SpreadUpdates(plain, context, round_id, self._engine, self.hear)

    def hear(self, context: Context) -> list[Heard]:
        """Return what the aggregators say; their bytes are counted as the coordinator's."""
        found = self._engine.hear()
        for heard in found:
            before = self._counted.get(heard.name)
            if before is None or before.incarnation != heard.incarnation:
                before = Heard(heard.name, heard.incarnation)
            context.link.bytes_up += heard.bytes_up - before.bytes_up
            context.link.bytes_down += heard.bytes_down - before.bytes_down
            self._counted[heard.name] = heard
        return found

    def late(self, context: Context) -> list[Late]:
        """Return which reports have come while no round trains; their aggregators drop them."""
        found = []
        for heard in self.hear(context):
            for notice in heard.notices:
                self._engine.tell(heard.name, [Forget(notice.round_id, notice.device)])
                if not isinstance(notice, RefusedThere):
                    found.append(_late(notice))
        return found


def spread_over(engine: Engine) -> SpreadOver:
    """Return the way of collecting over an engine's aggregators."""
    return SpreadOver(engine)


def _late(notice: Stored | Stray) -> Late:
    attempt = notice.request.attempt if isinstance(notice, Stored) else notice.attempt
    return Late(notice.device, notice.round_id, attempt)


def check_spread(recipe: Recipe, settings: Settings) -> None:
    """Check that partial sums are enough for what a coordinator is to do.

    Raises:
        ConfigError: if they are not.
    """
    if recipe.aggregator.robust:
        raise ConfigError(
            f"--aggregators with {recipe.aggregator.name}: it needs all updates side by side; only 'mean' can be spread"
        )
    if settings.buffer is not None:
        raise ConfigError("--aggregators with --buffer: a buffer's updates outlive their round; choose one of them")


def _check_number(context: Context, round_id: int, number: int) -> None:
    """A round's updates lie where its devices were told to send them: it is ended with as many as it began with."""
    begun, _, with_them = context.store.recall(REMEMBERED, f"{round_id} {number}").partition(" ")
    if begun == str(round_id) and int(with_them) != number:
        raise ConfigError(
            f"--aggregators {number}: round {round_id} is under way with {with_them}; end it with that number"
        )
    context.store.remember(REMEMBERED, f"{round_id} {number}")


class SpreadUpdates(PlainUpdates):
    """Plain updates, most of which are elsewhere; a device that does not know aggregators sends its own here.

    Args:
        plain: what takes in the updates that come here.
        context: of the coordinator.
        round_id: the round.
        engine: runs the aggregators.
        hear: returns what they say.
    """

    def __init__(
        self,
        plain: PlainUpdates,
        context: Context,
        round_id: int,
        engine: Engine,
        hear: Callable[[Context], list[Heard]],
    ) -> None:
        self.__dict__.update(plain.__dict__)
        self._context = context
        self._round = round_id
        self._engine = engine
        self._hear = hear
        self._terms: dict[str, dict[str, Term]] = {name: {} for name in engine.names}
        self._met: dict[str, str] = {}
        self._reduction: Reduction | None = None
        self._since: float | None = None
        self._again_at = -math.inf
        self._why = ""
        for name in engine.names:
            engine.tell(name, [self._open])

    @property
    def terms(self) -> int:
        """How many updates were added, here and elsewhere."""
        return self._total.terms + sum(len(terms) for terms in self._terms.values())

    def home(self, device: str) -> str:
        """Return the aggregator of a device: the same one in every process, whatever it is killed by."""
        return self._engine.names[zlib.crc32(device.encode()) % len(self._engine.names)]

    def ask(self, template: Assignment, device: str) -> Assignment:
        """Name the device's aggregator, which is told to expect its update."""
        name = self.home(device)
        self._engine.tell(name, [Expect(self._round, device, template.attempt)])
        return replace(super().ask(template, device), aggregator=name)

    def weigh(self, file: Path, report: Report, staleness: int, *, checked: bool) -> Spooled:
        """Return an update as a term of the sum, wherever it lies."""
        if "/" not in report.file:
            return super().weigh(file, report, staleness, checked=checked)
        update = Spooled(Path(report.file), self._recipe.size(self._parameters), self._recipe.weight(report.examples))
        return self._recipe.shrink(update, report.measures[NORM], staleness)

    def add(self, update: Spooled) -> None:
        """Add a recorded update: here, or by telling its aggregator what it counts."""
        name = str(update.path.parent)
        if name not in self._terms:
            super().add(update)
            return
        device, _, attempt = update.path.stem.rpartition("-")
        term = self._terms[name][device] = Term(device, int(attempt), update.weight, update.factor)
        self._engine.tell(name, [Count(self._round, term)])

    def forget(self, device: str) -> None:
        """Have its aggregator drop what a device has sent."""
        self._engine.tell(self.home(device), [Forget(self._round, device)])

    def tick(self, machine: RoundMachine) -> Sequence[Collected]:
        """Hear the aggregators; one that has just started is told everything."""
        actions: list[Collected] = []
        for heard in self._hear(self._context):
            self._meet(heard, machine)
            for notice in heard.notices:
                actions += self._act(heard.name, notice, machine)
        return actions

    def finish(self, reports: Sequence[Report]) -> Aggregate | None:  # type: ignore[override]
        """Return the aggregate once every aggregator has given its sum."""
        wanted = {name: tuple(terms.values()) for name, terms in self._terms.items() if terms}
        if not wanted:
            return super().finish(reports)
        now = self._context.clock.now()
        self._since = now if self._since is None else self._since
        if self._reduction is None and now >= self._again_at:
            self._reduction = self._engine.reduce(self._round, wanted)
        found = self._reduction.poll() if self._reduction is not None else None
        if found is None or isinstance(found, Lost):
            self._lost(found, now)
            return None
        assert isinstance(self._total, StreamingMean)  # noqa: S101  `check_spread` has looked
        if found.terms != sum(map(len, wanted.values())):
            raise CollectionError(f"the aggregators added {found.terms} updates of {sum(map(len, wanted.values()))}")
        self._total.merge(found.bits, found.terms, found.weight)
        return self._recipe.aggregate(self._total, reports)

    def deadline(self) -> float:
        """Return when to look for notices again."""
        return self._context.clock.now() + LOOK_SECONDS

    def end(self) -> None:
        """Tell the aggregators that the round is over."""
        for name in self._engine.names:
            self._engine.tell(name, [End(self._round)])

    @property
    def _open(self) -> Open:
        recipe, decoder, keep = self._recipe, self._decoder, self._context.settings.keep_updates
        numbers = recipe.size(self._parameters)
        return Open(self._round, decoder.codec.name, decoder.seed, numbers, recipe.uniform, keep)

    def _meet(self, heard: Heard, machine: RoundMachine) -> None:
        if self._met.get(heard.name) == heard.incarnation:
            return
        self._met[heard.name] = heard.incarnation
        expected = [
            Expect(self._round, p.device, p.attempt)
            for p in machine.participants.values()
            if p.status.live and self.home(p.device) == heard.name
        ]
        counted = [Count(self._round, term) for term in self._terms[heard.name].values()]
        self._engine.tell(heard.name, [self._open, *expected, *counted])
        self._reduction = None  # what was asked of an earlier one is asked of this one

    def _act(self, name: str, notice: Notice, machine: RoundMachine) -> list[Collected]:
        device = notice.device
        attempt = notice.request.attempt if isinstance(notice, Stored) else notice.attempt
        found = machine.find(device, attempt)
        open_ = notice.round_id == self._round and machine.phase.open and found is not None and found.status.live
        if isinstance(notice, RefusedThere):
            return [Refuse(device, attempt, notice.reason)] if open_ else []
        if not open_:
            self._engine.tell(name, [Forget(notice.round_id, device)])
            return [_late(notice)]
        if isinstance(notice, Stored):
            return [self._keep(name, notice, machine)]
        # It asked an aggregator that has just started and was told nothing yet; the device asks again.
        self._engine.tell(name, [self._open, Expect(self._round, device, attempt)])
        return []

    def _keep(self, name: str, notice: Stored, machine: RoundMachine) -> Keep:
        asked, device = notice.request, notice.device
        file = f"{name}/{device}-{asked.attempt}.update"
        report = Report(
            device, asked.attempt, asked.examples, asked.loss, asked.update.size, file, {NORM: notice.norm}, self._round
        )
        return Keep(report, self.weigh(Path(file), report, machine.staleness(device), checked=True))

    def _lost(self, found: Lost | None, now: float) -> None:
        if found is not None:
            self._why, self._reduction, self._again_at = found.reason, None, now + AGAIN_SECONDS
        assert self._since is not None  # noqa: S101  the caller has set it
        if now - self._since >= PATIENCE_SECONDS:
            why = self._why or "an aggregator did not come back"
            raise CollectionError(f"{why}; given up after {PATIENCE_SECONDS:.0f} s")
