"""What the peers share: the task, a round of FedAvg over it, processes, and what is printed. Needs NumPy alone.

A task is a `.npz`: `weight/NAME` of the model, `data/NAME` [devices, steps, batch, …] of one round's devices, already
in batches, `rate`, and `kind` (`next-word` or `table`). A peer hands `main` a builder of its local training.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import time
from collections.abc import Callable
from typing import Any

import numpy as np

Weights = dict[str, Any]
Local = Callable[[Weights, dict[str, Any]], Weights]
"""`local(weights, batches) -> weights`: SGD over one device's batches [steps, batch, …]."""


def main(build: Callable[[str, float], Local]) -> None:
    """Read the command line, run rounds, print one line of JSON: seconds a round, and megabytes at the peak."""
    parser = argparse.ArgumentParser()
    parser.add_argument("task")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--out", default="", help="where the first round's weights go")
    given = parser.parse_args()
    if given.processes > 1:
        one_core()
    weights, data, rate, kind = load(given.task)
    pool = Pool(given, build) if given.processes > 1 else None
    local = build(kind, rate) if pool is None else None
    devices, seconds, first = len(next(iter(data.values()))), [], {}
    for _ in range(given.rounds + 1):
        started = time.perf_counter()
        total = pool.round(weights) if pool is not None else average(local, weights, data, range(devices))
        weights = {name: value / devices for name, value in total.items()}
        seconds.append(time.perf_counter() - started)
        first = first or weights
    if given.out:
        np.savez(given.out, **first)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 + (pool.close() if pool else 0.0)
    print(json.dumps({"seconds": seconds[1:], "first": seconds[0], "peak_mb": peak}))


def load(path: str) -> tuple[Weights, dict[str, Any], float, str]:
    """Return weights, data, learning rate and kind of a task."""
    with np.load(path) as found:
        arrays = {name: found[name] for name in found.files}
    weights = {name.partition("/")[2]: value for name, value in arrays.items() if name.startswith("weight/")}
    data = {name.partition("/")[2]: value for name, value in arrays.items() if name.startswith("data/")}
    return weights, data, float(arrays["rate"]), str(arrays["kind"])


def average(local: Local, weights: Weights, data: dict[str, Any], devices: range) -> Weights:
    """Return the sum of what these devices' training makes of the weights."""
    everyone = getattr(local, "everyone", None)
    if everyone is not None:
        found = everyone(weights, {name: value[devices.start : devices.stop] for name, value in data.items()})
        return {name: np.asarray(value) for name, value in found.items()}
    total: Weights = {}
    for device in devices:
        new = local(weights, {name: value[device] for name, value in data.items()})
        for name, value in new.items():
            array = np.asarray(value)
            total[name] = array.astype(np.float32) if name not in total else total[name] + array
    return total


def one_core() -> None:
    """Let every library of this process and its children use one thread."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    flags = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flags}"
    os.environ["PEER_ONE_THREAD"] = "1"


class Pool:
    """Processes that take the devices in turn, one core each."""

    def __init__(self, given: Any, build: Callable[[str, float], Local]) -> None:
        context = multiprocessing.get_context("spawn")
        self._links = []
        self._processes = []
        for number in range(given.processes):
            ours, theirs = context.Pipe()
            arguments = (theirs, build, given.task, number, given.processes)
            process = context.Process(target=_serve, args=arguments, daemon=True)
            process.start()
            self._links.append(ours)
            self._processes.append(process)

    def round(self, weights: Weights) -> Weights:
        """Return the sum over all devices."""
        for link in self._links:
            link.send(weights)
        total: Weights = {}
        for link in self._links:
            for name, value in link.recv().items():
                total[name] = value if name not in total else total[name] + value
        return total

    def close(self) -> float:
        """End the processes; return their peaks in megabytes."""
        peaks = 0.0
        for link, process in zip(self._links, self._processes, strict=True):
            link.send(None)
            peaks += link.recv()
            process.join()
        return peaks


def share(devices: int, number: int, processes: int) -> range:
    """Return the devices of one process."""
    return range(devices * number // processes, devices * (number + 1) // processes)


def _serve(link: Any, build: Callable[[str, float], Local], task: str, number: int, processes: int) -> None:
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[number % len(cores)]})
    _, data, rate, kind = load(task)
    local, devices = build(kind, rate), share(len(next(iter(data.values()))), number, processes)
    while (weights := link.recv()) is not None:
        link.send(average(local, weights, data, devices))
    link.send(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
