"""Workers on this machine, this process and others: jobs go through pipes, vectors and sums through shared memory.

This process works as the others do, instead of waiting for them: one interpreter less, one start less, and a round of
a small model is not spent on waking processes. The others are plain child processes (`worker_process`), not
`multiprocessing` ones: a user's script is not run again in each of them. One that dies is noticed by its pipe; another
takes its place, and whatever it had added to its sum is done again.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import selectors
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from edgewise.simulation.data import ArrayData, CheckedData, RepeatedData, TaskData
from edgewise.simulation.engines import Partial
from edgewise.simulation.jobs import Done, Job, Measured, Setup
from edgewise.simulation.pieces import Pieces
from edgewise.simulation.shared import Handle, SharedArray, share
from edgewise.simulation.worker import Worker
from edgewise.simulation.worker_process import Described, News
from edgewise_coordinator.exact_sum import ExactSum
from edgewise_wire.errors import ConfigError, RunError
from edgewise_wire.weights import Flat

log = logging.getLogger("edgewise.simulation")

AHEAD = 2  # pieces of work that a worker holds, but at the end: it never waits for the next one
DEATHS_MAX = 3  # of workers over one and the same piece of work, before the run gives up
PATIENCE_SECONDS = 2.0  # for workers to end by themselves
LISTEN_SECONDS = 0.001  # how long, about, an answer may lie there while this process trains


class _MetError(Exception):
    """An error that was met while this process was in the middle of a device's training, which is not to blame."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(str(error))
        self.error = error


class _Listening:
    """Listens to the others between two steps of this process's own, if it has not done so for a while."""

    def __init__(self, listen: Callable[[float | None], None]) -> None:
        self._listen, self._due = listen, time.perf_counter() + LISTEN_SECONDS

    def __call__(self) -> None:
        if time.perf_counter() < self._due:
            return
        try:
            self._listen(0)
        except Exception as error:
            raise _MetError(error) from None
        self._due = time.perf_counter() + LISTEN_SECONDS


def _findable(data: TaskData) -> None:
    """Check that other processes find the data's class.

    Raises:
        ConfigError: if it was made in the script or notebook that is running, which nobody else imports.
    """
    kind = type(data.data if isinstance(data, CheckedData) else data)
    if kind.__module__ == "__main__":
        raise ConfigError(
            f"data: {kind.__qualname__!r} was made in the script that is running, where other processes do not find"
            " it; put it into a module that the script imports, or use workers=1"
        )


def _pickled(hello: object) -> bytes:
    """Return what a worker is told first. Raises ConfigError if the data cannot be told."""
    try:
        return pickle.dumps(hello, pickle.HIGHEST_PROTOCOL)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise ConfigError(f"data: cannot be handed to other processes ({error}); use workers=1") from error


class _Process:
    """One worker process and what it was given."""

    def __init__(self, number: int, hello: bytes) -> None:
        self.number = number
        ours, theirs = os.pipe(), os.pipe()  # to it, from it
        self._process = subprocess.Popen(  # noqa: S603  our own module
            [sys.executable, "-m", "edgewise.simulation.worker_process", str(ours[0]), str(theirs[1])],
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
    """This process and `workers` - 1 others, with one interpreter each."""

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
            self._sums += [SharedArray.make((size,), np.int64) for _ in range(workers - 1)]
            self._hello = _pickled((setup, self._described(data)))
            for number in range(workers - 1):
                self._processes.append(self._start(number))
            self._here = Worker(setup, data)  # after the others, which start meanwhile
        except BaseException:  # Ctrl-C, too: shared memory outlives who made it
            self.close()
            raise

    def _described(self, data: TaskData) -> object:
        """Return what a worker makes its data of: arrays in shared memory, or the pickled object itself."""
        inner = data.data if isinstance(data, RepeatedData) else data
        if not isinstance(inner, ArrayData):
            _findable(data)
            return data
        self._arrays = share(inner.arrays)
        handles = {name: one.handle for name, one in self._arrays.items()}
        return Described(list(inner.devices), handles, len(data.devices) if isinstance(data, RepeatedData) else 0)

    def _start(self, number: int) -> _Process:
        made = _Process(number, self._hello)
        made.news = News(self._sums[number].handle, self._handles())
        self._selector.register(made.inn, selectors.EVENT_READ, made)
        return made

    def _handles(self) -> dict[str, Handle]:
        return {name: one.handle for name, one in self._vectors.items()}

    @property
    def pids(self) -> list[int]:
        """The numbers of the other processes."""
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
        bits = np.zeros(self._here.size, np.int64)
        total, vectors = ExactSum(self._here.size, bits), {name: one.array for name, one in self._vectors.items()}

        def take(answers: list[tuple[Any, ...]]) -> None:
            found.update({one[0]: Done._make(one) for one in answers})

        def here(piece: list[Any]) -> list[Done]:
            return self._here.train(map(Job._make, piece), vectors, total)

        ends = self._work("train", list(map(tuple, jobs)), take, here, redo=True)
        # A worker that got nothing to do may not have set its sum back yet: nothing of it is read.
        sums = [Partial(self._sums[number].array, terms, weight) for number, (terms, weight) in ends.items() if terms]
        return [found[job.device] for job in jobs], [*sums, Partial(bits, total.terms, total.weight)]

    def measure(self, devices: Sequence[int], version: int) -> list[Measured]:
        """Measure; see `Engine`."""
        found: dict[int, Measured] = {}

        def take(answers: list[Measured]) -> None:
            found.update({one.device: one for one in answers})

        def here(piece: list[Any]) -> list[Measured]:
            return self._here.measure(piece, self._vectors[name].array)

        name = f"weights/{version}"
        self._work("measure", list(devices), take, here, extra=name)
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
        here: Callable[[list[Any]], list[Any]],
        *,
        extra: object = None,
        redo: bool = False,
    ) -> dict[int, tuple[int, float]]:
        """Hand out `items` until all are done, `here` as well; return where each other process's sum stands."""
        began, ends = time.perf_counter(), dict[int, tuple[int, float]]()
        todo = Pieces(items, self.workers, self._seconds.get(kind))
        deaths: dict[int, int] = {}

        def listen(seconds: float | None) -> None:
            for key, _ in self._selector.select(seconds):
                process = key.data
                try:
                    answer = pickle.loads(process.inn.recv_bytes())  # noqa: S301  our own worker's
                except (EOFError, OSError):
                    todo.give_back(self._bury(process, deaths, redo))
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

        for process in self._processes:
            self._fill(process, kind, todo, extra)
        self._here.between = _Listening(listen)
        try:
            while True:
                if todo:
                    take(here(todo.take()))
                    listen(0)
                elif any(process.pending for process in self._processes):
                    listen(None)
                else:  # the last answer may have been taken while this process was at work
                    break
        except _MetError as met:
            raise met.error from None
        self._seconds[kind] = (time.perf_counter() - began) * self.workers / max(1, len(items))
        return ends

    def _fill(self, process: _Process, kind: str, todo: Pieces[Any], extra: object) -> None:
        while todo and len(process.pending) < (1 if todo.ending else AHEAD):
            piece = todo.take()
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
