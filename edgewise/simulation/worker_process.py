"""A worker process of `edgewise.simulation.local`: hears of jobs by a pipe, reads and sums in shared memory."""

from __future__ import annotations

import contextlib
import pickle
import signal
import sys
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from edgewise.simulation.data import ArrayData, RepeatedData, TaskData
from edgewise.simulation.jobs import Job
from edgewise.simulation.shared import Handle, SharedArray
from edgewise.simulation.worker import Worker
from edgewise_coordinator.exact_sum import ExactSum
from edgewise_wire.errors import EdgewiseError


class News(NamedTuple):
    """What a worker must know before its next piece of work: where its sum stands, what to read, to begin anew."""

    sum: Handle | None = None
    vectors: dict[str, Handle] | None = None
    zero: bool = False


class Described:
    """How a worker finds an `ArrayData` in shared memory."""

    def __init__(self, devices: list[str], handles: dict[str, Handle], repeated: int) -> None:
        self.devices, self.handles, self.repeated = devices, handles, repeated

    def open(self) -> tuple[TaskData, list[SharedArray]]:
        """Return the data, and what must be held on to while it is used."""
        attached = {name: SharedArray.attach(handle) for name, handle in self.handles.items()}
        data = ArrayData.of_arrays(self.devices, {name: one.array for name, one in attached.items()})
        return (RepeatedData(data, self.repeated) if self.repeated else data), list(attached.values())


def serve(inn: Connection, out: Connection) -> None:
    """Be a worker until the pipe closes."""
    held: list[SharedArray] = []
    try:
        setup, data = pickle.loads(inn.recv_bytes())  # noqa: S301  our own parent's
        if isinstance(data, Described):
            data, held = data.open()
        worker = Worker(setup, data)
    except EOFError:
        return
    except BaseException as error:
        _answer_error(out, error)
        return
    desk = Desk(worker, held)
    while True:
        try:
            kind, piece, extra, news = pickle.loads(inn.recv_bytes())  # noqa: S301
        except EOFError:
            return
        try:
            desk.hear(News(*news))
            _answer(out, desk.train(piece) if kind == "train" else desk.measure(piece, extra))
        except BaseException as error:
            _answer_error(out, error)
            return


class Desk:
    """A worker with what lies in shared memory before it."""

    def __init__(self, worker: Worker, held: list[SharedArray]) -> None:
        self._worker = worker
        self._held = held  # what its examples stand in
        self._total = ExactSum(0)
        self._bits: SharedArray | None = None
        self._vectors: dict[str, SharedArray] = {}

    def hear(self, news: News) -> None:
        """Take note of what is new."""
        if news.sum is not None:
            self._bits = SharedArray.attach(news.sum)
        if news.vectors is not None:
            known = {one.handle: one for one in self._vectors.values()}
            self._vectors = {name: known.get(h) or SharedArray.attach(h) for name, h in news.vectors.items()}
        if news.zero and self._bits is not None:
            self._bits.array[...] = 0
            self._total = ExactSum(self._worker.size, self._bits.array)

    def train(self, piece: list[Any]) -> tuple[list[Any], int, float]:
        """Train devices into the sum; return what came of each, as plain tuples, and where the sum stands."""
        vectors = {name: one.array for name, one in self._vectors.items()}
        done = self._worker.train(map(Job._make, piece), vectors, self._total)
        return list(map(tuple, done)), self._total.terms, self._total.weight

    def measure(self, piece: list[int], name: str) -> tuple[list[Any], int, float]:
        """Measure devices."""
        return self._worker.measure(piece, self._vectors[name].array), 0, 0.0


def _answer_error(out: Connection, error: BaseException) -> None:
    """Answer with an error; one that is no sentence for whoever runs the simulation is raised for its traceback."""
    _answer(out, error)
    if not isinstance(error, EdgewiseError):
        raise error


def _answer(out: Connection, what: object) -> None:
    with contextlib.suppress(BrokenPipeError):  # the simulation is gone; the next read ends this worker
        out.send_bytes(pickle.dumps(what, pickle.HIGHEST_PROTOCOL))


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    from edgewise.simulation import worker_process  # this module under its own name, by which things are pickled

    worker_process.serve(Connection(int(sys.argv[1]), writable=False), Connection(int(sys.argv[2]), readable=False))
