"""Where jobs are done: in this process, in worker processes of this machine, or on a Ray cluster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edgewise.simulation.data import TaskData
from edgewise.simulation.jobs import Done, Job, Measured, Setup
from edgewise.simulation.worker import Worker
from edgewise_coordinator.exact_sum import ExactSum
from edgewise_wire.weights import Flat


class Partial:
    """The running sum of one worker: bits, how many terms, and their weight (see `ExactSum.merge`)."""

    def __init__(self, bits: NDArray[np.int64], terms: int, weight: float) -> None:
        self.bits, self.terms, self.weight = bits, terms, weight


class Engine(Protocol):
    """Does jobs. What it yields is a function of the jobs alone, and not of who did them or in which order."""

    @property
    def workers(self) -> int:
        """How many jobs are done at once."""

    def publish(self, vectors: Mapping[str, Flat]) -> None:
        """Let workers read these vectors from now on, and no others."""

    def train(self, jobs: Sequence[Job]) -> tuple[list[Done], list[Partial]]:
        """Do jobs; return what came of each, in their order, and the sums that they add up to."""

    def measure(self, devices: Sequence[int], version: int) -> list[Measured]:
        """Measure a version's weights on devices' held-out examples; return their sums in the devices' order."""

    def close(self) -> None:
        """End every worker and let go of everything."""


class Inline:
    """One worker in this very process: for debugging, for tests, and where processes cannot be had."""

    workers = 1

    def __init__(self, setup: Setup, data: TaskData) -> None:
        self._worker = Worker(setup, data)
        self._vectors: dict[str, Flat] = {}

    def publish(self, vectors: Mapping[str, Flat]) -> None:
        """Keep them."""
        self._vectors = dict(vectors)

    def train(self, jobs: Sequence[Job]) -> tuple[list[Done], list[Partial]]:
        """Do them here."""
        bits = np.zeros(self._worker.size, np.int64)
        total = ExactSum(self._worker.size, bits)
        done = self._worker.train(jobs, self._vectors, total)
        return done, [Partial(bits, total.terms, total.weight)]

    def measure(self, devices: Sequence[int], version: int) -> list[Measured]:
        """Do it here."""
        return self._worker.measure(devices, self._vectors[f"weights/{version}"])

    def close(self) -> None:
        """Nothing is held."""
