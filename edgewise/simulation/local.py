"""Worker processes on this machine: jobs go through pipes, vectors and sums through shared memory.

Workers are plain child processes (`python -m edgewise.simulation.local`), not `multiprocessing` ones: a user's script
is not run again in each of them. One that dies is noticed by its pipe; another takes its place, and whatever it had
added to its sum is done again.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import selectors
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import numpy as np

from edgewise.simulation.data import ArrayData, RepeatedData, TaskData
from edgewise.simulation.engines import Partial, chunks
from edgewise.simulation.jobs import Done, Job, Measured, Setup
from edgewise.simulation.shared import Handle, SharedArray, share
from edgewise.simulation.worker import Worker
from edgewise_coordinator.exact_sum import ExactSum
from edgewise_wire.errors import RunError
from edgewise_wire.weights import Flat

log = logging.getLogger("edgewise.simulation")

AHEAD = 2  # pieces of work that a worker holds: it never waits for the next one
DEATHS_MAX = 3  # of workers over one and the same piece of work, before the run gives up
PATIENCE_SECONDS = 2.0  # for workers to end by themselves


class News(NamedTuple):
    """What a worker must know before its next piece of work: where its sum stands, what to read, to begin anew."""

    sum: Handle | None = None
    vectors: dict[str, Handle] | None = None
    zero: bool = False


class _Process:
    """One worker process and what it was given."""

    def __init__(self, number: int, hello: bytes) -> None:
        self.number = number
        ours, theirs = os.pipe(), os.pipe()  # to it, from it
        self._process = subprocess.Popen(  # noqa: S603  our own module
            [sys.executable, "-m", "edgewise.simulation.local", str(ours[0]), str(theirs[1])],
            stdin=subprocess.DEVNULL,
            pass_fds=(ours[0], theirs[1]),
            start_new_session=True,  # Ctrl-C is for the simulation, which ends its workers itself
        )
        os.close(ours[0])
        os.close(theirs[1])
        self.out = Connection(ours[1], readable=False)
        self.inn = Connection(theirs[0], writable=False)
        self.pending: deque[Any] = deque()
        self.finished: list[Any] = []
        self.news = News()
        self.send_bytes(hello)

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    def send_bytes(self, data: bytes) -> None:
        """Say something; a worker that is gone is found out when it is listened to."""
        with contextlib.suppress(OSError):
            self.out.send_bytes(data)

    def send(self, what: object) -> None:
        """Say something."""
        self.send_bytes(pickle.dumps(what, pickle.HIGHEST_PROTOCOL))

    def end(self) -> None:
        """End it: by closing its pipe, else by force."""
        self.out.close()
        try:
            self._process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self.inn.close()

    def kill(self) -> int:
        """Make sure that it is gone, and return its exit status."""
        self._process.kill()
        status = self._process.wait()
        self.out.close()
        self.inn.close()
        return status


class LocalWorkers:
    """`workers` processes with one interpreter each."""

    def __init__(self, setup: Setup, data: TaskData, workers: int, size: int) -> None:
        self.workers = workers
        self._vectors: dict[str, SharedArray] = {}
        self._spare: list[SharedArray] = []
        self._sums: list[SharedArray] = []
        self._arrays: dict[str, SharedArray] = {}
        self._seconds: dict[str, float] = {}
        self._selector = selectors.DefaultSelector()
        self._processes: list[_Process] = []
        try:
            self._sums += [SharedArray.make((size,), np.int64) for _ in range(workers)]
            self._hello = pickle.dumps((setup, self._described(data)), pickle.HIGHEST_PROTOCOL)
            for number in range(workers):
                self._processes.append(self._start(number))
        except BaseException:  # Ctrl-C, too: shared memory outlives who made it
            self.close()
            raise

    def _described(self, data: TaskData) -> object:
        """Return what a worker makes its data of: arrays in shared memory, or the pickled object itself."""
        inner = data.data if isinstance(data, RepeatedData) else data
        if not isinstance(inner, ArrayData):
            return data
        self._arrays = share(inner.arrays)
        handles = {name: one.handle for name, one in self._arrays.items()}
        return _Described(list(inner.devices), handles, len(data.devices) if isinstance(data, RepeatedData) else 0)

    def _start(self, number: int) -> _Process:
        made = _Process(number, self._hello)
        made.news = News(self._sums[number].handle, self._handles())
        self._selector.register(made.inn, selectors.EVENT_READ, made)
        return made

    def _handles(self) -> dict[str, Handle]:
        return {name: one.handle for name, one in self._vectors.items()}

    @property
    def pids(self) -> list[int]:
        """The workers' process numbers."""
        return [one.pid for one in self._processes]

    def publish(self, vectors: Mapping[str, Flat]) -> None:
        """Copy the new ones into shared memory; segments of those that are gone are used again."""
        for name in [name for name in self._vectors if name not in vectors or name == "control"]:
            self._spare.append(self._vectors.pop(name))
        for name, vector in vectors.items():
            if name not in self._vectors:
                fitting = [one for one in self._spare if one.array.shape == vector.shape]
                if fitting:
                    self._spare.remove(fitting[0])
                self._vectors[name] = one = fitting[0] if fitting else SharedArray.make(vector.shape, np.float32)
                one.array[...] = vector
        for process in self._processes:
            process.news = process.news._replace(vectors=self._handles())

    def train(self, jobs: Sequence[Job]) -> tuple[list[Done], list[Partial]]:
        """Do jobs; see `Engine`."""
        for process in self._processes:
            process.news = process.news._replace(zero=True)
            process.finished.clear()
        found: dict[int, Done] = {}

        def take(answers: list[tuple[Any, ...]]) -> None:
            found.update({one[0]: Done._make(one) for one in answers})

        ends = self._work("train", list(map(tuple, jobs)), take, redo=True)
        # A worker that got nothing to do may not have set its sum back yet: nothing of it is read.
        sums = [Partial(self._sums[number].array, terms, weight) for number, (terms, weight) in ends.items() if terms]
        return [found[job.device] for job in jobs], sums

    def measure(self, devices: Sequence[int], version: int) -> list[Measured]:
        """Measure; see `Engine`."""
        found: dict[int, Measured] = {}

        def take(answers: list[Measured]) -> None:
            found.update({one.device: one for one in answers})

        self._work("measure", list(devices), take, extra=f"weights/{version}")
        return [found[device] for device in devices]

    def close(self) -> None:
        """End every worker and remove the shared memory."""
        self._selector.close()
        for process in self._processes:
            process.end()
        for one in (*self._vectors.values(), *self._spare, *self._sums, *self._arrays.values()):
            one.unlink()

    # Work ----------------------------------------------------------------------------------------------------------

    def _work(
        self,
        kind: str,
        items: list[Any],
        take: Callable[[list[Any]], None],
        *,
        extra: object = None,
        redo: bool = False,
    ) -> dict[int, tuple[int, float]]:
        """Hand out `items` until all are done, and return where each worker's sum stands."""
        began, ends = time.perf_counter(), dict[int, tuple[int, float]]()
        size = chunks(len(items), self.workers, self._seconds.get(kind))
        todo = deque(items[at : at + size] for at in range(0, len(items), size))
        deaths: dict[int, int] = {}
        for process in self._processes:
            self._fill(process, kind, todo, extra)
        while any(process.pending for process in self._processes):
            for key, _ in self._selector.select():
                process = key.data
                try:
                    answer = pickle.loads(process.inn.recv_bytes())  # noqa: S301  our own worker's
                except (EOFError, OSError):
                    todo.extend(self._bury(process, deaths, redo))
                    ends.pop(process.number, None)
                    self._fill(self._processes[process.number], kind, todo, extra)
                    continue
                if isinstance(answer, BaseException):
                    raise answer
                results, terms, weight = answer
                ends[process.number] = (terms, weight)
                process.finished.append(process.pending.popleft())
                take(results)
                self._fill(process, kind, todo, extra)
        self._seconds[kind] = (time.perf_counter() - began) * self.workers / max(1, len(items))
        return ends

    def _fill(self, process: _Process, kind: str, todo: deque[Any], extra: object) -> None:
        while todo and len(process.pending) < AHEAD:
            piece = todo.popleft()
            process.pending.append(piece)
            process.send((kind, piece, extra, tuple(process.news)))
            process.news = News()

    def _bury(self, dead: _Process, deaths: dict[int, int], redo: bool) -> list[Any]:
        """Put another worker in the place of one that died; return what must be done again."""
        self._selector.unregister(dead.inn)
        status = dead.kill()
        key = id(dead.pending[0]) if dead.pending else 0
        deaths[key] = deaths.get(key, 0) + 1
        if deaths[key] > DEATHS_MAX:
            raise RunError(f"workers died {deaths[key]} times over the same devices, last with status {status}")
        log.warning("worker %d ended with status %d; another one does its devices again", dead.number, status)
        self._processes[dead.number] = self._start(dead.number)
        if redo:
            self._sums[dead.number].array[...] = 0
            self._processes[dead.number].news = self._processes[dead.number].news._replace(zero=True)
        return [*dead.pending, *(dead.finished if redo else ())]


class _Described:
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
        if isinstance(data, _Described):
            data, held = data.open()
        worker = Worker(setup, data)
    except EOFError:
        return
    except BaseException as error:
        _answer(out, error)
        raise
    desk = _Desk(worker, held)
    while True:
        try:
            kind, piece, extra, news = pickle.loads(inn.recv_bytes())  # noqa: S301
        except EOFError:
            return
        try:
            desk.hear(News(*news))
            _answer(out, desk.train(piece) if kind == "train" else desk.measure(piece, extra))
        except BaseException as error:
            _answer(out, error)
            raise


class _Desk:
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


def _answer(out: Connection, what: object) -> None:
    with contextlib.suppress(BrokenPipeError):  # the simulation is gone; the next read ends this worker
        out.send_bytes(pickle.dumps(what, pickle.HIGHEST_PROTOCOL))


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    from edgewise.simulation import local  # this module under its own name, by which things are pickled

    local.serve(Connection(int(sys.argv[1]), writable=False), Connection(int(sys.argv[2]), readable=False))
