"""One phase of a session each: what a device does between accepting an assignment and its acknowledgement.

A phase is driven by the agent: `start` once, `connected` whenever the link comes up, `hear` for messages about this
assignment, `tick` when `due`, `compute` for one batch while `busy`. It raises an `EdgewiseError` when it cannot go on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from pathlib import Path

import numpy as np

from edgewise_edge.correction import Correction
from edgewise_edge.host import Host
from edgewise_edge.link import Heard, Link
from edgewise_edge.local_training import (
    LocalSums,
    LocalUpdate,
    Step,
    TrainerLike,
    device_generator,
    evaluate_locally,
    train_locally,
)
from edgewise_edge.session import Report, Work
from edgewise_wire.blobs import make_ref
from edgewise_wire.clock import Clock
from edgewise_wire.errors import ModelError, RunError
from edgewise_wire.messages import DeviceState, EvaluationReport, Kind, Measure, UploadRequest
from edgewise_wire.weights import WIRE_DTYPE, Flat, parameters

REPEAT_SECONDS = 10.0  # an evaluation report is said again until it is acknowledged


class Phase:
    """The part of a session in one state; by default it waits."""

    state: DeviceState
    busy = False
    due = math.inf
    bytes_down = 0
    bytes_up = 0
    seconds = 0.0

    @property
    def finished(self) -> bool:
        """Whether the next phase can begin."""
        return False

    @property
    def progress(self) -> Step:
        """How far it is."""
        return Step(0, 0, 0.0)

    def start(self) -> None:
        """Begin."""

    def connected(self) -> None:
        """The link came up again."""

    def hear(self, heard: Heard) -> None:
        """Take a message about this assignment."""

    def tick(self) -> None:
        """Do what is due."""

    def compute(self) -> None:
        """Compute one batch."""

    def repeat(self) -> None:
        """Say again what was last said."""

    def stop(self) -> None:
        """Let go of everything; files stay for a later process."""


class Compute(Phase):
    """Trains or evaluates, one batch at a time; `report` and `update` are there when it is finished."""

    state = DeviceState.TRAINING
    busy = True

    def __init__(
        self, host: Host, clock: Clock, work: Work, device: str, graph: Path, weights: Path, most: int,
        correction: Callable[[TrainerLike], Correction | None] = lambda trainer: None,
    ) -> None:  # fmt: skip
        self._host = host
        self._clock = clock
        self._work = work
        self._device = device
        self._graph = graph
        self._weights = weights
        self._most = most
        self._correction = correction
        self._running: Generator[Step, None, LocalUpdate | LocalSums] | None = None
        self._step = Step(0, 0, 0.0)
        self.seconds = 0.0
        self.result: LocalUpdate | LocalSums | None = None

    @property
    def finished(self) -> bool:
        """Whether the result is there."""
        return self.result is not None

    @property
    def progress(self) -> Step:
        """Batches done, of how many, and the loss so far."""
        return self._step

    def compute(self) -> None:
        """Load what is needed, then one batch a call."""
        began = self._clock.now()
        try:
            if self._running is None:
                self._running = self._begin()
            self._step = next(self._running)
        except StopIteration as end:
            self.result = end.value
        finally:
            self.seconds += self._clock.now() - began

    def take_result(self) -> LocalUpdate | LocalSums:
        """Return the result and let go of it: an update is as large as the model."""
        result, self.result = self.result, None
        if result is None:
            raise RunError("the computation is not finished")
        return result

    def stop(self) -> None:
        """Stop between two batches."""
        if self._running is not None:
            self._running.close()

    def _begin(self) -> Generator[Step, None, LocalUpdate | LocalSums]:
        asked = self._work.asked
        trainer = self._host.trainer(self._graph, asked.graph.hash)
        weights = read_weights(self._weights, trainer)
        examples = self._host.examples(trainer.manifest, Kind(asked.kind))
        if not len(examples):
            raise RunError("none of this device's examples has anything that the model can learn from")
        if asked.kind == Kind.EVALUATE:
            return evaluate_locally(trainer, weights, examples, max_examples=self._most)
        rng = device_generator(asked.seed, self._work.round, self._device)
        return train_locally(
            trainer, weights, examples,
            epochs=asked.epochs, learning_rate=asked.learning_rate, max_examples=self._most, rng=rng,
            correction=self._correction(trainer),
        )  # fmt: skip


def read_weights(path: Path, trainer: TrainerLike, what: str = "weights") -> Flat:
    """Return a round's weights as a read-only view of their file: float32[parameters], mapped and not copied.

    Raises:
        ModelError: if they are not as many as the graph has, or not all finite.
    """
    count = parameters(trainer.manifest.weights)
    size = path.stat().st_size
    if size != WIRE_DTYPE.itemsize * count:
        raise ModelError(f"the round's {what} are {size} bytes, the graph has {count} parameters of 4 bytes")
    mapped = np.memmap(path, WIRE_DTYPE, "r")
    weights: Flat = np.asarray(mapped).astype(np.float32, copy=False)
    if not np.isfinite(weights).all():
        raise ModelError(f"the round's {what} have numbers that are not finite")
    return weights


def make_report(work: Work, result: LocalUpdate | LocalSums, seconds: float, update: Path) -> Report:
    """Return what to say about a finished result; the file `update` holds an update's bytes."""
    attempt = work.asked.attempt
    if isinstance(result, LocalSums):
        measures = tuple(Measure(name, value) for name, value in sorted(result.sums.items()))
        return EvaluationReport(attempt, result.examples, measures)
    encoding = work.asked.encoding or "float32"
    return UploadRequest(attempt, make_ref(update), result.examples, result.loss, result.steps, seconds, encoding)


class SendReport(Phase):
    """Says an evaluation's sums until they are acknowledged."""

    state = DeviceState.UPLOADING

    def __init__(self, link: Link, clock: Clock, work: Work, report: EvaluationReport) -> None:
        self._link = link
        self._clock = clock
        self._work = work
        self._report = report

    def start(self) -> None:
        """Say it."""
        self.repeat()

    def connected(self) -> None:
        """Say it again: it may have been lost with the link."""
        self.repeat()

    def tick(self) -> None:
        """Say it again after a silence."""
        if self._clock.now() >= self.due:
            self.repeat()

    def repeat(self) -> None:
        """Say it."""
        self._link.say(self._report, self._work.round)
        self.due = self._clock.now() + REPEAT_SECONDS
