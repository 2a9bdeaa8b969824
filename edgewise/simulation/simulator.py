"""The simulation itself: rounds, one after the other, over a virtual fleet.

What is real in it: the round machine, the selection, the recipe (algorithm, aggregator, transforms), the exact sum, the
codecs, local training and the `.tflite` in its runtime. What is not: messages, files and the broker between them; see
`wire` for a simulation with those.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from edgewise.simulation.checkpoint import Checkpoint
from edgewise.simulation.data import TaskData, batches_a_pass
from edgewise.simulation.engines import Engine, Partial
from edgewise.simulation.jobs import Done, Job, Measured
from edgewise.simulation.population import FleetModel, draw
from edgewise.simulation.private import PrivateSimulation
from edgewise.simulation.roster import Roster, VirtualClock
from edgewise.simulation.timeline import Failures, Played, Reporter, Timeline, Workload
from edgewise_coordinator.aggregators.base import Aggregation
from edgewise_coordinator.aggregators.mean import StreamingMean
from edgewise_coordinator.algorithms.base import Aggregate
from edgewise_coordinator.buffered import BufferMachine
from edgewise_coordinator.downlink import Downlink
from edgewise_coordinator.machine import RoundMachine
from edgewise_coordinator.recipe import Recipe
from edgewise_coordinator.reports import pool_measures
from edgewise_coordinator.selection.base import Selection
from edgewise_coordinator.settings import Settings
from edgewise_coordinator.spooled import Spooled
from edgewise_coordinator.state import Report
from edgewise_wire.artifact import Artifact
from edgewise_wire.messages import Kind
from edgewise_wire.transforms import get
from edgewise_wire.weights import Flat, flatten, parameters, unflatten

log = logging.getLogger("edgewise.simulation")

TOLD = 5  # devices of which it is said that their training failed; `failed` of the history has all
Row = dict[str, Any]
"""A round of the history: what `rounds.jsonl` of a coordinator has, with `hours` of virtual time at its end."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What a simulation is put together from."""

    artifact: Artifact
    data: TaskData
    settings: Settings
    recipe: Recipe
    selection: Selection
    fleet: FleetModel
    directory: Path
    evaluation_devices: int = 0
    private: PrivateSimulation | None = None


class Simulator:
    """Runs rounds; `state` is all that the next one depends on, and can be saved between any two.

    Args:
        parts: of the simulation.
        engine: trains.
        checkpoint: where to go on; from the model's own weights if left out.
    """

    def __init__(self, parts: Parts, engine: Engine, checkpoint: Checkpoint | None = None) -> None:
        self.parts = parts
        self.engine = engine
        manifest, settings = parts.artifact.manifest, parts.settings
        self.parameters = parameters(manifest.weights)
        self.clock = VirtualClock()
        names = list(parts.data.devices)
        examples = parts.data.counts(held_out=False)
        availability = parts.fleet.availability(names, settings.seed)
        self.roster = Roster(names, examples, availability, self.clock)
        population = draw(parts.fleet, len(names), manifest, settings.seed)
        self.work = self._workload()
        self.timeline = Timeline(self.roster, population, self.work, self.clock, settings.seed)
        self.downlink = Downlink(parts.directory, settings.downlink, self.parameters)
        self.tells = bool(parts.recipe.algorithm.client.correction) or get(settings.training.encoding).stateful
        self.measured_devices = self._measured_devices()
        self.last_measured: list[Measured] = []
        self._told: set[int] = set()
        self.state = checkpoint or self._first()
        self.timeline.go_back(self.state.moment)

    @property
    def complete(self) -> bool:
        """Whether every version asked for exists and has been measured, or one more would pass the privacy budget."""
        return self.state.version >= self.parts.settings.rounds or self._spent()

    @property
    def finished(self) -> bool:
        """Whether nothing more will happen: complete, or too many rounds abandoned in a row."""
        return self.complete or self.state.abandoned > self.parts.settings.max_abandoned

    def model_bytes(self) -> bytes:
        """Return the model file with the newest weights in it."""
        return self.parts.artifact.with_weights(unflatten(self.state.weights, self.parts.artifact.manifest.weights))

    def begin(self) -> Row | None:
        """Measure the first version; return its row, or `None` if it is not to be measured or was."""
        if self.state.version or self.state.round_id or not self._measures(0):
            return None
        metrics, evaluated = self.measure()
        self.state.round_id += 1
        return {
            "round": 0, "round_id": self.state.round_id, "phase": "committed", "version": 0, "started": 0.0,
            "seconds": 0.0, "selected": 0, "reported": 0, "failed": {}, "examples": 0, "train_loss": None,
            "bytes_up": 0, "bytes_down": 0, "reason": "", **metrics, "evaluated": evaluated, "hours": 0.0,
        }  # fmt: skip

    def step(self) -> Row:
        """Run one training round, and measure its version if it is due; return its row."""
        before = state_of(self)
        try:
            return self._step()
        except BaseException:
            self.state = before  # nothing of a round that was cut short is kept
            raise

    def _step(self) -> Row:
        wall, state, settings = time.perf_counter(), self.state, self.parts.settings
        state.round_id += 1
        state.number += 1
        started = self.clock.now()
        played, done, total = self._train()
        row = self._row(played, done, started)
        if played.committed:
            clip = private.clip(state.spent) if (private := self.parts.private) else 0.0
            self._commit(played, done, total)
            row["version"] = state.version
            if private:
                row["privacy"] = private.figures(state.spent, clip)
        else:
            state.abandoned += 1
            self.clock.move_to(self.clock.now() + settings.cohort.retry_delay)
        row["hours"] = self.clock.now() / 3600
        if played.committed and self._measures(state.version):
            metrics, row["evaluated"] = self.measure()
            row.update(metrics)
            state.round_id += 1
        row["wall_seconds"] = time.perf_counter() - wall
        state.moment = self.timeline.moment()
        return row

    def measure(self) -> tuple[dict[str, float], int]:
        """Return the newest version's metrics over the fleet's held-out examples, and how many devices measured."""
        self._publish()
        self.last_measured = self.engine.measure(self.measured_devices, self.state.version)
        reports = [Report(str(one.device), 1, 1, measures=one.sums) for one in self.last_measured if one.sums]
        return pool_measures(reports), len(reports)

    # A round -------------------------------------------------------------------------------------------------------

    def _train(self) -> tuple[Played, list[Done], Aggregation]:
        """Play the round and train who reports, until what was played is what came of it."""
        before, failures = self.timeline.moment(), dict[tuple[int, int], str]()
        total, trained = self.parts.recipe.start(self.parameters), dict[Reporter, Done]()
        while True:
            played = self.timeline.play(self._machine(), failures)
            if not played.committed:
                return played, [], total
            if not set(trained) <= set(played.reporters):  # somebody trained does not report after all
                total, trained = self.parts.recipe.start(self.parameters), {}
            missing = [reporter for reporter in played.reporters if reporter not in trained]
            new = self._work(missing, total)
            bad = {(r.device, r.round_id): one.error for r, one in zip(missing, new, strict=True) if one.error}
            self._tell(bad)
            trained |= {r: one for r, one in zip(missing, new, strict=True) if not one.error}
            if not bad:
                return played, [trained[reporter] for reporter in played.reporters], total
            failures |= bad
            self.timeline.go_back(before)

    def _tell(self, bad: Failures) -> None:
        """Say of the first devices whose training fails why it does: in a summary they would only be lost."""
        for (device, round_id), error in bad.items():
            if device not in self._told and len(self._told) < TOLD:
                self._told.add(device)
                log.warning("device %r failed in round %d: %s", self.parts.data.devices[device], round_id, error)

    def _machine(self) -> RoundMachine:
        s, state = self.parts.settings, self.state
        if s.buffer is None:
            return RoundMachine(
                state.round_id, Kind.TRAIN, s.cohort, self.parts.selection, self.clock, s.seed, number=state.number
            )
        return BufferMachine(
            state.round_id, Kind.TRAIN, s.cohort, self.parts.selection, self.clock, s.seed, number=state.number,
            concurrency=s.buffer.concurrency, max_staleness=s.buffer.max_staleness, version=state.version,
        )  # fmt: skip

    def _work(self, reporters: Sequence[Reporter], total: Aggregation) -> list[Done]:
        self._publish()
        buffered, state = self.parts.settings.buffer is not None, self.state
        private, plain = self.parts.private, self.parts.settings.training.encoding
        encoding = private.encoding(state.spent, plain) if private else ""
        order = sorted(reporters, key=lambda r: -int(self.work.steps[r.device]))  # the longest first: a short tail
        jobs = [
            Job(
                r.device, r.round_id, r.version if buffered else state.version, r.staleness,
                state.counted.get(r.device, 0), encoding,
            )
            for r in order
        ]  # fmt: skip
        done, partials = self.engine.train(jobs)
        self._fold(total, jobs, done, partials)
        found = {one.device: one for one in done}
        return [found[r.device] for r in reporters]

    def _fold(self, total: Aggregation, jobs: list[Job], done: list[Done], partials: list[Partial]) -> None:
        if isinstance(total, StreamingMean):
            for partial in partials:
                total.merge(partial.bits, partial.terms, partial.weight)
            return
        for job, one in zip(jobs, done, strict=True):
            if not one.error:
                total.add(self._spooled(job, one))

    def _spooled(self, job: Job, done: Done) -> Spooled:
        name = f"{job.round_id:06}-{self.parts.data.devices[job.device]}.update"
        recipe = self.parts.recipe
        path = self.parts.directory / "spool" / name
        return Spooled(path, recipe.size(self.parameters), recipe.weight(done.examples), done.factor)

    def _commit(self, played: Played, done: list[Done], total: Aggregation) -> None:
        state = self.state
        recipe = self.parts.recipe
        exact, algorithm = recipe.algorithm.step(state.exact, state.algorithm, self._aggregate(played, done, total))
        before, weights = state.weights, self.downlink.publish(state.version + 1, exact, state.weights)
        state.version, state.weights, state.exact, state.algorithm = state.version + 1, weights, exact, algorithm
        state.abandoned = 0
        if self.tells:
            state.counted.update({r.device: r.round_id for r in played.reporters})
        state.took_part[[one.device for one in done]] += 1
        in_use = {p.version for p in self.timeline.carried}
        state.older = {v: w for v, w in {**state.older, state.version - 1: before}.items() if v in in_use}
        spool = self.parts.directory / "spool"
        if not isinstance(total, StreamingMean) and not self.parts.settings.keep_updates:
            shutil.rmtree(spool, ignore_errors=True)
            spool.mkdir(parents=True, exist_ok=True)

    def _aggregate(self, played: Played, done: list[Done], total: Aggregation) -> Aggregate:
        private, state = self.parts.private, self.state
        if private is None or not isinstance(total, StreamingMean):
            return self.parts.recipe.aggregate(total, done)
        update, state.spent = private.release(state.spent, total.units(), done, played.selected)
        return Aggregate(update, len(done), len(done))

    def _spent(self) -> bool:
        private, cohort = self.parts.private, self.parts.settings.cohort
        return private is not None and not private.affords(self.state.spent, cohort.target)

    def _publish(self) -> None:
        state, control = self.state, self.parts.recipe.algorithm.client.control
        vectors: dict[str, Flat] = {f"weights/{version}": weights for version, weights in state.older.items()}
        vectors[f"weights/{state.version}"] = state.weights
        if control:
            vectors["control"] = state.algorithm[control]
        self.engine.publish(vectors)

    def _row(self, played: Played, done: list[Done], started: float) -> Row:
        examples = sum(one.examples for one in done)
        loss = sum(one.loss * one.examples for one in done) / examples if examples else None
        return {
            "round": self.state.number, "round_id": self.state.round_id,
            "phase": "committed" if played.committed else "abandoned", "version": self.state.version,
            "started": started, "seconds": self.clock.now() - started, "selected": played.selected,
            "reported": len(done), "failed": played.failed, "examples": examples, "train_loss": loss,
            "bytes_up": len(played.reporters) * self.work.bytes_up,
            "bytes_down": played.assigned * self.work.bytes_down,
            "reason": played.reason, "evaluated": 0,
        }  # fmt: skip

    # The beginning -------------------------------------------------------------------------------------------------

    def _first(self) -> Checkpoint:
        weights = flatten(self.parts.artifact.weights(), self.parts.artifact.manifest.weights)
        algorithm = self.parts.recipe.algorithm.init(weights)
        published = self.downlink.publish(0, weights, weights)
        devices = len(self.parts.data.devices)
        return Checkpoint(
            weights=published, exact=weights, algorithm=algorithm, moment=self.timeline.moment(),
            took_part=np.zeros(devices, np.int64),
        )  # fmt: skip

    def _workload(self) -> Workload:
        training = self.parts.settings.training
        batches = batches_a_pass(self.parts.data, self.parts.artifact.manifest, training.max_examples)
        numbers = self.parts.recipe.size(self.parameters)
        down = 4 * self.parameters * (2 if self.parts.recipe.algorithm.client.control else 1)
        if self.parts.settings.downlink:
            down = get(self.parts.settings.downlink).size(self.parameters)
        return Workload(training.epochs * batches, down, get(training.encoding).size(numbers))

    def _measured_devices(self) -> list[int]:
        counts = self.parts.data.counts(held_out=True)
        able = np.flatnonzero(counts > 0)
        most = self.parts.evaluation_devices
        if most and len(able) > most:
            rng = np.random.default_rng([self.parts.settings.seed, 0xE7])
            able = np.sort(rng.choice(able, most, replace=False))
        return [int(number) for number in able]

    def _measures(self, version: int) -> bool:
        every = self.parts.settings.evaluate_every
        return bool(every) and (version % every == 0 or version >= self.parts.settings.rounds)


Watch = Callable[[Row], None]
"""Called with each row as it comes."""


def state_of(simulator: Simulator) -> Checkpoint:
    """Return a copy of a simulator's state that later rounds do not change."""
    state = simulator.state
    return replace(state, counted=dict(state.counted), took_part=state.took_part.copy(), older=dict(state.older))
