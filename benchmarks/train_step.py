"""One training step of the next-word model: ours, the plain autodiff export and other frameworks, side by side.

    .venv/bin/python benchmarks/train_step.py [--json] [--threads 1 2] [--rounds 3] [--steps 40]
        [--peer numpy] [--peer tensorflow-xla] [--peer torch=/path/to/python] [--peer torch-compiled=/path/to/python]
        [--peer jax=/path/to/python]

1,422,250 parameters, a batch of 16 rows of 20 words. Each contestant lives in a process of its own; they take turns, a
few steps each, so that whatever else the machine does meets all of them. Reported are the medians of the rounds'
medians, in wall-clock and in CPU time (which agree unless another job took the core), and the process's high-water mark
(VmHWM). A `.tflite` is trained by what a device's process trains it with, allocator settings included. With one thread
the process is pinned to one core. `products` are the step's matrix products alone, what no layout can fall below on
that runtime. tflite-runtime needs NumPy 1 and so an environment of its own (`make test` makes it; `--tflite-python`
names it). A peer is a framework in this Python, or in the one given; none is needed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgewise_edge.trainer_process import MEMORY

NOTHING: dict[str, str] = {}
ROOT = Path(__file__).parents[1]
RUNTIMES = {"ai_edge_litert": Path(sys.executable), "tflite_runtime": ROOT / ".venv-tflite" / "bin" / "python"}
PEERS = ("numpy", "torch", "torch-compiled", "tensorflow", "tensorflow-xla", "jax")

WORKER = """
import json, os, sys, time
import numpy as np
from pathlib import Path
from edgewise_edge.lean_trainer import LeanTrainer
from edgewise_wire.artifact import Artifact
path, threads, batches = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
if threads == 1 and hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
start = time.perf_counter()
trainer = LeanTrainer(path, path.with_suffix(f".{os.getpid()}"), threads=threads)
trainer.set_weights(Artifact.load(path).weights())
with np.load(batches) as arrays:
    given = {name: arrays[name] for name in arrays}
count, at, losses = len(given["tokens"]), 0, []
def step():
    global at
    batch = {name: array[at % count] for name, array in given.items()}
    at += 1
    start, busy = time.perf_counter(), time.process_time()
    losses.append(trainer.train_step(batch, 0.1).loss)
    return 1000 * (time.perf_counter() - start), 1000 * (time.process_time() - busy)
first = step()
ready = time.perf_counter() - start
for line in sys.stdin:
    taken, busy = zip(*(step() for _ in range(int(line))))
    status = dict(row.split(":", 1) for row in open("/proc/self/status"))
    high = int(status["VmHWM"].split()[0]) / 1024
    found = {"ms": taken, "cpu_ms": busy, "peak_mb": high, "ready_s": ready, "runtime": trainer.runtime}
    found["losses"] = losses[:3]
    print(json.dumps(found), flush=True)
"""


@dataclass
class Peer:
    """One model on one runtime with so many threads, in a process of its own."""

    graph: str
    runtime: str
    threads: int
    process: subprocess.Popen[str]
    medians: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    last: dict[str, Any] = field(default_factory=dict)

    def run(self, steps: int) -> None:
        """Take so many steps and keep their median."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{steps}\n")
        self.process.stdin.flush()
        self.last = json.loads(self.process.stdout.readline())
        self.medians.append(statistics.median(self.last["ms"]))
        self.cpu.append(statistics.median(self.last["cpu_ms"]))

    def row(self) -> dict[str, Any]:
        """Return what is reported."""
        return {
            "graph": self.graph,
            "runtime": self.last["runtime"],
            "threads": self.threads,
            "ms": round(statistics.median(self.medians), 2),
            "cpu_ms": round(statistics.median(self.cpu), 2),
            "range": [round(min(self.medians), 2), round(max(self.medians), 2)],
            "peak_mb": round(self.last["peak_mb"], 1),
            "ready_s": round(self.last["ready_s"], 2),
        }


def main() -> None:
    """Measure and print."""
    options = _options()
    with tempfile.TemporaryDirectory() as folder:
        models = _models(Path(folder), options)
        batches = _batches(Path(folder), options)
        weights = _weights(Path(folder), models)
        rows = [row for threads in options.threads for row in measure(models, batches, weights, threads, options)]
    for row in rows:
        base = next((r for r in rows if r["graph"] == "autodiff" and _place(r) == _place(row)), None)
        ours = next((r for r in rows if r["graph"] == "edgewise" and r["threads"] == row["threads"]), None)
        row["of_autodiff"] = round(row["cpu_ms"] / base["cpu_ms"], 2) if base else None
        row["of_edgewise"] = round(row["ms"] / ours["ms"], 2) if ours else None
    print(json.dumps({"cores": os.cpu_count(), "batch": options.batch, "rows": rows}) if options.json else _table(rows))


def measure(models: dict[str, Path], batches: Path, weights: Path, threads: int, options: Any) -> list[dict[str, Any]]:
    """Let all contestants with so many threads take turns."""
    peers = []
    for runtime in options.runtimes:
        python = options.tflite_python if runtime == "tflite_runtime" else RUNTIMES[runtime]
        for graph, path in models.items():
            command = [str(python), "-c", WORKER, str(path), str(threads), str(batches)]
            peers.append(Peer(graph, runtime, threads, _started(command, threads, MEMORY)))
    for name, python in options.peer:
        command = [python, str(Path(__file__).with_name("train_step_peers.py"))]
        command += [name, str(threads), str(batches), str(weights)]
        peers.append(Peer(name, "", threads, _started(command, threads)))
    for peer in peers:
        peer.run(6)
        peer.medians.clear()
        peer.cpu.clear()
    for _ in range(options.rounds):
        for peer in peers:
            peer.run(options.steps)
    for peer in peers:
        assert peer.process.stdin is not None
        peer.process.stdin.close()
        peer.process.wait()
    _check_losses(peers)
    return [peer.row() for peer in peers]


def _started(command: Sequence[str], threads: int, more: Mapping[str, str] = NOTHING) -> subprocess.Popen[str]:
    limits = {name: str(threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, **limits, **more}
    )


def _check_losses(peers: Sequence[Peer]) -> None:
    """All must compute the same: a contestant that computes something else is none."""
    known = next((peer.last["losses"] for peer in peers if peer.graph != "products"), [])
    for peer in peers:
        apart = max((abs(a - b) for a, b in zip(peer.last["losses"], known, strict=True)), default=0.0)
        if peer.graph != "products" and not apart < 1e-3:
            raise SystemExit(f"{peer.graph} {peer.last['runtime']}: losses {peer.last['losses']}, expected {known}")


def _weights(folder: Path, models: dict[str, Path]) -> Path:
    """Write the weights that every contestant begins with."""
    import numpy as np

    from edgewise_wire.artifact import Artifact

    path = folder / "weights.npz"
    np.savez(path, **Artifact.load(next(iter(models.values()))).weights())
    return path


def _place(row: dict[str, Any]) -> tuple[str, int]:
    return row["runtime"], row["threads"]


def _models(folder: Path, options: Any) -> dict[str, Path]:
    """Export both graphs, in a process that ends before anything is measured."""
    code = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[1]);"
        "import train_step_models as m; m.export(Path(sys.argv[2]), sys.argv[3:])"
    )
    subprocess.run([sys.executable, "-c", code, str(Path(__file__).parent), str(folder), *options.graphs], check=True)
    return {graph: folder / f"{graph}.tflite" for graph in options.graphs}


def _batches(folder: Path, options: Any) -> Path:
    """Write batches whose sentences are full, or as long as the lines of a text file are."""
    import numpy as np

    rng = np.random.default_rng(7)
    shape = (64, 16, 20)
    lengths = np.full(shape[:2], 20)
    if options.lengths is not None:
        known = [min(20, len(line.split())) for line in options.lengths.read_text().splitlines() if line.split()]
        lengths = rng.choice(known, shape[:2])
    used = np.arange(20) < lengths[..., None]
    tokens, labels = (rng.integers(4, 10_000, shape) * used for _ in range(2))
    tokens[:, :, 0] = 2  # each row begins with the start mark
    path = folder / "batches.npz"
    np.savez(path, tokens=tokens.astype("i4"), labels=labels.astype("i4"), weight=used.astype("f4"))
    options.batch = f"16 x 20, {used.mean():.0%} of the positions have a label"
    return path


def _table(rows: Sequence[dict[str, Any]]) -> str:
    head = (
        "| what | runtime | threads | ms a step | range | CPU ms | CPU of autodiff's | ms of edgewise's | peak MB"
        " | first step after s |\n" + "| --- " * 10 + "|"
    )
    lines = [
        f"| {r['graph']} | {r['runtime']} | {r['threads']} | {r['ms']} | {r['range'][0]}-{r['range'][1]} "
        f"| {r['cpu_ms']} | {r['of_autodiff'] or '–'} | {r['of_edgewise'] or '–'} | {r['peak_mb']} | {r['ready_s']} |"
        for r in rows
    ]
    return "\n".join([head, *lines])


def _peer(text: str) -> tuple[str, str]:
    name, _, python = text.partition("=")
    if name not in PEERS:
        raise argparse.ArgumentTypeError(f"{name!r}: expected one of {', '.join(PEERS)}")
    return name, python or sys.executable


def _options() -> Any:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--graphs", nargs="+", default=["autodiff", "products", "edgewise", "low-memory"])
    parser.add_argument("--runtimes", nargs="+", choices=RUNTIMES, default=None)
    parser.add_argument("--tflite-python", type=Path, default=RUNTIMES["tflite_runtime"])
    parser.add_argument("--lengths", type=Path, help="a text file: sentences are as long as its lines have words")
    parser.add_argument(
        "--peer", action="append", default=[], type=_peer, metavar="NAME[=PYTHON]", help=f"one of {', '.join(PEERS)}"
    )
    options = parser.parse_args()
    if options.runtimes is None:
        options.runtimes = [name for name in RUNTIMES if name != "tflite_runtime" or options.tflite_python.exists()]
    return options


if __name__ == "__main__":
    main()
