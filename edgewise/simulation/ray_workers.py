"""The same workers as actors on a Ray cluster, for fleets that outgrow one machine.

Vectors lie in Ray's object store, once a node, and are read there without a copy; each actor sends one sum a round.
Where devices keep something (SCAFFOLD, top-k), or an aggregator needs all updates side by side, the run's folder must
lie on a file system that all nodes share.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from edgewise.simulation.data import TaskData
from edgewise.simulation.engines import Partial
from edgewise.simulation.jobs import Done, Job, Measured, Setup, Vectors
from edgewise.simulation.pieces import Pieces
from edgewise_coordinator.exact_sum import ExactSum
from edgewise_wire.errors import EdgewiseError, RunError, UnavailableError
from edgewise_wire.weights import Flat

log = logging.getLogger("edgewise.simulation")

DEATHS_MAX = 3  # of actors in one round, before the run gives up


class RayWorkers:
    """`workers` actors with one interpreter and one core each; as many as the cluster has cores if left out.

    It joins the cluster that this process is connected to, or that `RAY_ADDRESS` names; else Ray starts one here.

    Raises:
        UnavailableError: if Ray is not installed, or there is no cluster at that address.
    """

    def __init__(self, setup: Setup, data: TaskData, workers: int | None = None) -> None:
        self._ray = import_ray()
        self._own = not self._ray.is_initialized()
        if self._own:
            try:
                self._ray.init(logging_level=logging.WARNING, log_to_driver=False)
            except (ConnectionError, OSError, ValueError) as error:
                raise UnavailableError(f"Ray cannot be reached ({error}); see RAY_ADDRESS") from error
        cores = int(self._ray.cluster_resources().get("CPU", 1))
        self.workers = workers or max(1, cores)
        if self.workers > cores:
            self.close()
            raise UnavailableError(f"workers: the Ray cluster has {cores} cores, got {self.workers}")
        carried = replace(setup, model=Path(str(setup.model)).read_bytes())
        self._given = self._ray.put((carried, data))
        self._class = self._ray.remote(num_cpus=1, scheduling_strategy="SPREAD", max_restarts=0)(Actor)
        self._actors = [self._class.remote(self._given) for _ in range(self.workers)]
        self._vectors: Any = None
        self._names: frozenset[str] = frozenset()
        self._control: Flat | None = None

    def nodes(self) -> list[str]:
        """Return the node that each worker is on."""
        found: list[str] = self._ray.get([actor.node.remote() for actor in self._actors])
        return found

    def publish(self, vectors: Mapping[str, Flat]) -> None:
        """Put the vectors into the object store, unless they lie there."""
        control = vectors.get("control")
        if frozenset(vectors) != self._names or control is not self._control:
            self._vectors = self._ray.put(dict(vectors))
            self._names, self._control = frozenset(vectors), control

    def train(self, jobs: Sequence[Job]) -> tuple[list[Done], list[Partial]]:
        """Do jobs; see `Engine`. What an actor that dies had summed is done again."""
        found: dict[int, Done] = {}
        sums: list[Partial] = []
        todo, deaths = list(jobs), 0
        while todo:
            lost: list[Job] = []
            did = self._hand_out("train", todo, found, lost)
            for number, own in did.items():
                try:
                    if own:
                        sums.append(Partial(*self._ray.get(self._actors[number].take.remote())))
                except self._ray.exceptions.RayActorError:
                    self._replace(number)
                    lost += own
            deaths += bool(lost)
            if deaths > DEATHS_MAX:
                raise RunError(f"Ray actors died {deaths} times in one round")
            todo = lost
        return [found[job.device] for job in jobs], sums

    def measure(self, devices: Sequence[int], version: int) -> list[Measured]:
        """Measure; see `Engine`."""
        found: dict[int, Measured] = {}
        todo, deaths = list(devices), 0
        while todo:
            lost: list[int] = []
            self._hand_out("measure", todo, found, lost, f"weights/{version}")
            deaths += bool(lost)
            if deaths > DEATHS_MAX:
                raise RunError(f"Ray actors died {deaths} times over one evaluation")
            todo = lost
        return [found[device] for device in devices]

    def close(self) -> None:
        """End the actors, and the cluster if it was started here."""
        for actor in getattr(self, "_actors", []):
            self._ray.kill(actor)
        if self._own:
            self._ray.shutdown()

    def _hand_out(
        self, kind: str, items: list[Any], found: dict[int, Any], lost: list[Any], extra: str = ""
    ) -> dict[int, list[Any]]:
        """Give `items` to the actors piece by piece; return what each did, and add what dead ones had to `lost`."""
        todo = Pieces(items, self.workers)
        did: dict[int, list[Any]] = {number: [] for number in range(self.workers)}
        running: dict[Any, tuple[int, list[Any]]] = {}

        def give(number: int) -> None:
            if todo:
                piece = todo.take()
                answer = getattr(self._actors[number], kind).remote(piece, self._vectors, extra)
                running[answer] = (number, piece)

        for number in range(self.workers):
            give(number)
        while running:
            [answer], _ = self._ray.wait(list(running))
            number, piece = running.pop(answer)
            try:
                found.update({one.device: one for one in self._ray.get(answer)})
                did[number] += piece
            except self._ray.exceptions.RayActorError:
                log.warning("an actor died; another one does its devices again")
                self._replace(number)
                lost += [*piece, *did[number]] if kind == "train" else piece
                did[number] = []
            except self._ray.exceptions.RayTaskError as error:
                cause = error.cause
                raise (cause if isinstance(cause, EdgewiseError) else error) from None
            give(number)
        return did

    def _replace(self, number: int) -> None:
        self._actors[number] = self._class.remote(self._given)


class Actor:
    """What runs on a node: a `Worker` and its sum."""

    def __init__(self, given: tuple[Setup, TaskData]) -> None:
        from edgewise.simulation.worker import Worker

        self._worker = Worker(*given)
        self._begin()

    def _begin(self) -> None:
        self._bits = np.zeros(self._worker.size, np.int64)
        self._total = ExactSum(self._worker.size, self._bits)

    def train(self, jobs: list[Job], vectors: Vectors, extra: str) -> list[Done]:
        """Train devices into this actor's sum."""
        return self._worker.train(jobs, vectors, self._total)

    def measure(self, devices: list[int], vectors: Vectors, name: str) -> list[Measured]:
        """Measure devices."""
        return self._worker.measure(devices, vectors[name])

    def take(self) -> tuple[Any, int, float]:
        """Return the sum, and begin another."""
        found = self._bits, self._total.terms, self._total.weight
        self._begin()
        return found

    def node(self) -> str:
        """Return the node's id."""
        import ray

        return str(ray.get_runtime_context().get_node_id())


def import_ray() -> Any:
    """Return Ray. Raises UnavailableError if it is not installed."""
    try:
        import ray
    except ImportError as error:
        raise UnavailableError("--engine ray needs Ray: pip install 'edgewise[ray]'") from error
    return ray
