"""What one worker does: it holds one interpreter and trains or measures one device after the other with it.

It knows neither pipes nor shared memory; `local`, `inline` and `ray_engine` bring it its jobs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from edgewise.recipes import plan
from edgewise.simulation.data import TaskData
from edgewise.simulation.device_states import CONTROL, RESIDUAL, DeviceStates
from edgewise.simulation.generators import DeviceGenerators
from edgewise.simulation.jobs import Done, Job, Measured, Setup, Vectors
from edgewise_coordinator.exact_sum import ExactSum
from edgewise_coordinator.recipe import Recipe
from edgewise_coordinator.spooled import Held
from edgewise_coordinator.update_transforms import Arrival, chain, staleness_discount, unchanged
from edgewise_edge.correction import Correction
from edgewise_edge.local_training import (
    Examples,
    LocalUpdate,
    evaluate_locally,
    run_to_end,
    train_locally,
)
from edgewise_edge.next_word import examples_for
from edgewise_edge.starting_point import StartingPoint
from edgewise_edge.trainer import Trainer
from edgewise_wire.encodings import clipping_norm
from edgewise_wire.errors import InputError, ProtocolError, RunError
from edgewise_wire.transforms import Codec, Key, get
from edgewise_wire.transforms.clip import within
from edgewise_wire.weights import Flat, parameters, squares, to_bytes

NORM_SLACK = 1e-3  # a float32 sum of a million squares is good to about 1e-4


class Worker:
    """One resident interpreter, and everything that a job needs besides its weights.

    `between` is called after every batch, for who has something else to look after.
    """

    def __init__(self, setup: Setup, data: TaskData) -> None:
        self.setup = setup
        self.data = data
        self.trainer = Trainer(setup.model, threads=setup.threads, runtime=setup.runtime or None)
        self.parameters = parameters(self.trainer.manifest.weights)
        self.recipe = recipe_of(setup)
        self.codec = get(setup.training.encoding)
        self.states = DeviceStates(Path(setup.states)) if setup.states else None
        self._spool = Path(setup.spool) if setup.spool else None
        self._start: tuple[int, StartingPoint] | None = None
        self._change: Flat = np.empty(self.parameters, np.float32)  # one for all: memory that comes and goes is slow
        self._generators = DeviceGenerators(setup.seed, data.devices)
        self.between: Callable[[], None] | None = None

    @property
    def size(self) -> int:
        """How many numbers an update has."""
        return self.recipe.size(self.parameters)

    def train(self, jobs: Iterable[Job], vectors: Vectors, total: ExactSum) -> list[Done]:
        """Train the devices of `jobs` and add their updates to `total` (or spool them); say what came of each."""
        jobs = list(jobs)
        states: dict[Job, tuple[int, int]] = {}
        for round_id in {job.round_id for job in jobs}:
            same = [job for job in jobs if job.round_id == round_id]
            states |= zip(same, self._generators.states([job.device for job in same], round_id), strict=True)
        return [self._train(job, self._generators.set(states[job]), vectors, total) for job in jobs]

    def measure(self, devices: Sequence[int], weights: Flat) -> list[Measured]:
        """Return the sums of each device over its held-out examples.

        Raises:
            RunError: if the weights are of no use.
        """
        found = []
        for device in devices:
            examples = self._examples(device, held_out=True)
            work = evaluate_locally(self.trainer, weights, examples)
            try:
                sums = dict(run_to_end(work, self.between).sums) if len(examples) else {}
            except (RunError, InputError) as error:
                raise type(error)(f"device {self.data.devices[device]!r}: {error}") from error
            found.append(Measured(device, sums))
        return found

    def _train(self, job: Job, rng: np.random.Generator, vectors: Vectors, total: ExactSum) -> Done:
        try:
            local = self._update(job, rng, vectors)
            update = self._coded(job, local.update)
            norm = local.norm if local.control is None else _norm(local.update)
            factor = self._hand_in(job, local, update, norm if update is local.update else _norm(update), total)
        except (RunError, InputError, ProtocolError) as error:
            return Done(job.device, error=str(error))
        inside = not job.encoding or within(local.update, clipping_norm(job.encoding))
        return Done(job.device, local.examples, local.loss, local.steps, norm, factor, within=inside)

    def _update(self, job: Job, rng: np.random.Generator, vectors: Vectors) -> LocalUpdate:
        training = self.setup.training
        local = run_to_end(
            train_locally(
                self.trainer,
                self._from(job.version, vectors),
                self._examples(job.device, held_out=False),
                epochs=training.epochs,
                learning_rate=training.learning_rate,
                max_examples=training.max_examples,
                rng=rng,
                correction=self._correction(job, vectors),
            ),
            self.between,
        )
        if local.control is not None and self.states is not None:
            self.states.save(CONTROL, job.device, job.round_id, local.control, job.control_round)
        return local

    def _from(self, version: int, vectors: Vectors) -> StartingPoint:
        """Return where training from a version begins: the same for device after device."""
        weights = vectors[f"weights/{version}"]
        # Memory is used again from version to version, and a new array may be where an old one was.
        if self._start is None or self._start[0] != version or self._start[1].weights is not weights:
            self._start = version, StartingPoint(weights, self.trainer.manifest.weights, self._change)
        return self._start[1]

    def _correction(self, job: Job, vectors: Vectors) -> Correction | None:
        client = self.setup.client
        if not client.correction:
            return Correction(mu=client.mu) if client.mu else None
        own = self.states.load(CONTROL, job.device, job.control_round) if self.states is not None else None
        return Correction(client.mu, vectors["control"], own)

    def _coded(self, job: Job, update: Flat) -> Flat:
        """Return what the coordinator makes of the update's encoding."""
        codec = self._codec(job)
        if codec.name == "float32":
            return update
        key = Key(self.setup.seed, job.round_id, self.data.devices[job.device])
        stateful = codec.stateful and self.states is not None
        residual = self.states.load(RESIDUAL, job.device, job.control_round) if stateful and self.states else None
        encoded = codec.encode(update, key, residual)
        if encoded.residual is not None and self.states is not None:
            self.states.save(RESIDUAL, job.device, job.round_id, encoded.residual, job.control_round)
        return codec.decode(encoded.data, len(update), key)

    def _codec(self, job: Job) -> Codec:
        if job.encoding and job.encoding != self.codec.name:
            self.codec = get(job.encoding)
        return self.codec

    def _hand_in(self, job: Job, local: LocalUpdate, update: Flat, norm: float, total: ExactSum) -> float:
        weight = self.recipe.weight(local.examples)
        factor = self._factor(job, update, weight, norm, total)
        if self._spool is None:
            total.add_blocks((update,), weight, factor, norm)
            return factor
        path = self._spool / f"{job.round_id:06}-{self.data.devices[job.device]}.update"
        path.write_bytes(to_bytes(update))
        return factor

    def _factor(self, job: Job, update: Flat, weight: float, norm: float, total: ExactSum) -> float:
        """Return the recipe's factor; the norm to its last bit is worked out only where it matters."""
        if self.recipe.transform is unchanged and norm * (1 + NORM_SLACK) <= self.setup.max_norm:
            return 1.0
        exactly = Held(update, weight).measure(total.check if self._spool is None else None, self.setup.max_norm)
        return self.recipe.transform(Arrival(exactly, job.staleness))

    def _examples(self, device: int, *, held_out: bool) -> Examples:
        return examples_for(self.data.rows(device, held_out=held_out), self.trainer.manifest)


def _norm(update: Flat) -> float:
    """Return the L2 norm, to float32's precision."""
    return math.sqrt(squares(update))


def recipe_of(setup: Setup) -> Recipe:
    """Return the recipe that a setup's options describe, as a coordinator of these settings has it."""
    made = plan(setup.options)
    discount = unchanged if made.buffer is None else staleness_discount
    return Recipe(made.algorithm, made.aggregator, chain(made.transform, discount))
