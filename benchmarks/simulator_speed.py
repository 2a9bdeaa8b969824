"""How long a round takes in the simulator, side by side with a bare loop over the same `.tflite`, and with peers.

    python benchmarks/simulator_speed.py [--json] [--case large small] [--rounds 5] [--peer jax=/path/to/python ...]

Large: the 1.42 M-parameter next-word model, 1,000 devices, 32 a round, each 64 messages of 20 words, batches of 16, one
epoch. Small: a perceptron of 10,035 parameters, 1,000 devices, 200 a round, one step on 20 examples.

The bare loop is one process that sets the weights, takes the steps, gets the weights and adds them up, with no rounds,
no selection, no shuffling and no checks: `loop` with one thread and with one a core. Peers (`jax`, `torch`, `numpy`,
`flower` over NumPy's training, `flower-torch` over PyTorch's) are `simulator_peers/*_peer.py`, each run by the Python
that `--peer` names, with one process and with one a core. Every peer and the bare loop start from the same weights and
batches; one whose first round's average does not agree with the bare loop's is left out, said, and status 1.

Programs run one after the other, in turn over `--turns`; shown is the median round. `first` is from the program's start
to the end of its first round; memory is the sum over a program's processes of what they hold at most (shared pages
counted once each: PSS). Python keeps what it compiles, as it does for whoever installs a package.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
PEERS = ("jax", "torch", "numpy", "flower", "flower-torch")
AGREE = 2e-3  # of the largest change of a weight


def export(case: str, path: Path) -> None:
    """Write the case's model, in a process of its own: TensorFlow's memory and threads are not measured."""
    code = {
        "large": (
            "from edgewise_models.next_word import NextWord, NextWordModule, MARKS\n"
            "from edgewise_models.writer import write_artifact\n"
            "from edgewise_models.next_word_reference import prove_next_word\nfrom functools import partial\n"
            "config = NextWord(batch=16); module = NextWordModule(config)\n"
            "words = tuple(f'w{n}' for n in range(config.vocabulary - MARKS))\n"
            "write_artifact(PATH, module.functions(), module.weights, module.facts('large', words),\n"
            "               prove=partial(prove_next_word, config=config), offsets=module.offsets)\n"
        ),
        "small": (
            "import keras\nfrom keras import layers\nfrom edgewise_models.keras_export import export_trainable\n"
            "from edgewise_models.zoo.table import classifier\n"
            "keras.utils.set_random_seed(0)\n"
            "model = keras.Sequential([keras.Input((64,), name='features'), layers.Dense(100, 'relu', name='one'),\n"
            "                          layers.Dense(35, name='two')], name='small')\n"
            "export_trainable(**classifier(model, 20), path=PATH)\n"
        ),
    }[case]
    setting = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-c", f"from pathlib import Path\nPATH = Path({str(path)!r})\n{code}"]
    subprocess.run(command, check=True, env=setting, stderr=subprocess.DEVNULL)


SIZES = {"large": (1000, 32, 64), "small": (1000, 200, 20)}  # devices, a round, examples each
RATES = {"large": 0.5, "small": 0.1}


def arrays(case: str, devices: int) -> dict[str, np.ndarray[Any, Any]]:
    """Return every device's examples, [devices, examples, …]: all positions full, so no shorter graph helps."""
    rng = np.random.default_rng(1)
    _, _, examples = SIZES[case]
    if case == "small":
        features = rng.standard_normal((devices, examples, 64)).astype(np.float32)
        labels = rng.integers(0, 35, (devices, examples)).astype(np.int32)
        return {"features": features, "labels": labels, "weight": np.ones((devices, examples), np.float32)}
    words = (4 + np.minimum(rng.zipf(1.3, (devices, examples, 20)), 9996) - 1).astype(np.int32)
    tokens = np.concatenate([np.full((devices, examples, 1), 2, np.int32), words[:, :, :-1]], axis=2)
    return {"tokens": tokens, "labels": words, "weight": np.ones(words.shape, np.float32)}


def write_data(case: str, folder: Path) -> None:
    """Write the fleet for the simulator, and one round's devices in batches for everyone else."""
    from edgewise_wire.artifact import Artifact

    devices, cohort, examples = SIZES[case]
    found, artifact = arrays(case, devices), Artifact.load(folder / "model.tflite")
    names = np.repeat([f"device-{number:04}" for number in range(devices)], examples)
    flat = {name: array.reshape(-1, *array.shape[2:]) for name, array in found.items()}
    np.savez(folder / "fleet.npz", device=names, **flat)
    batch = artifact.manifest.batch
    task: dict[str, Any] = {
        f"data/{name}": array[:cohort].reshape(cohort, examples // batch, batch, *array.shape[2:])
        for name, array in found.items()
    }
    rename = dict(zip(artifact.weights(), ("kernel_1", "bias_1", "kernel_2", "bias_2"), strict=False))
    for name, value in artifact.weights().items():
        task[f"weight/{rename[name] if case == 'small' else name}"] = value
        task[f"name/{rename[name] if case == 'small' else name}"] = name
    np.savez(folder / "task.npz", **task, rate=RATES[case], kind="next-word" if case == "large" else "table")


LOOP = """
import json, resource, sys, time
began = time.perf_counter()
import numpy as np
from edgewise_edge.runtime import find
path, task, threads, rounds, out = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
interpreter = find().module.Interpreter(model_path=path, num_threads=threads)
interpreter.allocate_tensors()
train, get, put = (interpreter.get_signature_runner(name) for name in ("train", "get_weights", "set_weights"))
with np.load(task) as found:
    data = {name[5:]: found[name] for name in found.files if name.startswith("data/")}
    rate = found["rate"].astype(np.float32)
weights, dummy = get(dummy=np.float32(0)), np.zeros((), np.float32)
devices, steps = data["labels"].shape[:2]
seconds, first = [], None
for _ in range(rounds + 1):
    start = time.perf_counter()
    total = {name: np.zeros_like(value) for name, value in weights.items()}
    for device in range(devices):
        put(**weights)
        for step in range(steps):
            train(learning_rate=rate, **{name: array[device, step] for name, array in data.items()})
        for name, value in get(dummy=dummy).items():
            total[name] += value
    weights = {name: value / devices for name, value in total.items()}
    seconds.append(time.perf_counter() - start)
    first = first or weights
np.savez(out, **first)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"seconds": seconds[1:], "peak_mb": peak}))
"""

SIMULATOR = """
import json, sys, time
from edgewise.simulation import simulate
path, data, workers, rounds, cohort, rate = sys.argv[1], sys.argv[2], int(sys.argv[3]), *map(float, sys.argv[4:7])
moments = []
def watch(row):
    moments.append(time.time())
simulate(path, data, rounds=int(rounds) + 1, cohort=int(cohort), learning_rate=rate, evaluate_every=0, workers=workers,
         on_round=watch)
print(json.dumps({"moments": moments, "seconds": [b - a for a, b in zip(moments, moments[1:])]}))
"""


def run(command: list[str], **options: Any) -> dict[str, Any]:
    """Run a program to its end; return what it printed, its peak memory, and when its first round ended."""
    keeps = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    began = time.time()
    process = subprocess.Popen(
        command, env=keeps, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True, **options
    )
    peak = Peak(process.pid)
    out, err = process.communicate()
    held = peak.end()
    if process.returncode:
        sys.stderr.write(err[-2000:])
        raise SystemExit(f"{' '.join(command[:3])} … ended with status {process.returncode}")
    found: dict[str, Any] = json.loads(out.strip().splitlines()[-1])
    if "moments" in found:
        found["first_s"] = found["moments"][0] - began
    found["pss_mb"] = held
    return found


class Peak:
    """Watches the proportional set size of a process and its children, less and less often.

    A look costs some 3 ms of a core that programs with a process a core need themselves: twenty looks a second would
    be 6 % of it.
    """

    def __init__(self, pid: int) -> None:
        self._pid, self._most, self._ended = pid, 0.0, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def end(self) -> float:
        """Return the most that they held at once, in megabytes."""
        self._ended.set()
        self._thread.join()
        return self._most

    def _watch(self) -> None:
        seconds = 0.05
        while not self._ended.wait(seconds):
            seconds = min(0.5, 1.05 * seconds)
            self._most = max(self._most, sum(map(_pss, _family(self._pid))))


def _family(pid: int) -> list[int]:
    found = [pid]
    for one in found:
        try:
            for task in Path(f"/proc/{one}/task").iterdir():
                found += map(int, (task / "children").read_text().split())
        except OSError:
            continue
    return found


def _pss(pid: int) -> float:
    try:
        rows = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(row.split()[1]) / 1024 for row in rows if row.startswith("Pss:")), 0.0)


def contestants(case: str, folder: Path, rounds: int, peers: dict[str, str]) -> dict[str, Any]:
    """Return each program by name, as a function that runs it."""
    model, task = str(folder / "model.tflite"), str(folder / "task.npz")
    cohort, cores = SIZES[case][1], os.cpu_count() or 1
    found: dict[str, Any] = {}
    for workers in sorted({1, cores}):
        arguments = [model, str(folder / "fleet.npz"), str(workers), str(rounds), str(cohort), str(RATES[case])]
        found[f"edgewise, {workers} workers"] = [sys.executable, "-c", SIMULATOR, *arguments]
        out = str(folder / f"loop-{workers}.npz")
        found[f"loop, {workers} threads"] = [sys.executable, "-c", LOOP, model, task, str(workers), str(rounds), out]
    for name, python in peers.items():
        framework, _, trainer = name.partition("-")
        for processes in (cores,) if framework == "flower" else sorted({1, cores}):
            label = f"{name}, {processes} processes"
            script = str(HERE / "simulator_peers" / f"{framework}_peer.py")
            more = ["--trainer", trainer] if trainer else []
            more += ["--rounds", str(rounds), "--processes", str(processes), "--out", str(folder / f"{label}.npz")]
            found[label] = [python, script, task, *more]
    return found


def check(folder: Path, label: str) -> float:
    """Return how far a program's first average is from the bare loop's, relative to the largest change."""
    with np.load(folder / "loop-1.npz") as a, np.load(folder / f"{label}.npz") as b, np.load(folder / "task.npz") as t:
        names = [name[7:] for name in t.files if name.startswith("weight/")]
        theirs = {name: b[name] for name in b.files}
        ours = {name: a[str(t[f"name/{name}"])] for name in names}
        worst, largest = 0.0, 0.0
        for name in names:
            mine = ours[name]
            worst = max(worst, float(np.abs(mine - theirs[name]).max()))
            largest = max(largest, float(np.abs(mine - t[f"weight/{name}"]).max()))
    return worst / largest


def measure(case: str, rounds: int, turns: int, peers: dict[str, str]) -> list[dict[str, Any]]:
    """Return a row a program: seconds a round, first round, memory."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        export(case, folder / "model.tflite")
        write_data(case, folder)
        programs = contestants(case, folder, rounds, peers)
        results: dict[str, list[dict[str, Any]]] = {label: [] for label in programs}
        for turn in range(turns):
            for label, command in programs.items():
                print(f"{case}: {label} ({turn + 1} of {turns}) …", file=sys.stderr)
                results[label].append(run(command))
        away = {label: check(folder, label) for label in programs if label.split(",")[0] in PEERS}
    rows = []
    for label, found in results.items():
        seconds = [second for one in found for second in one["seconds"]]
        row = {"case": case, "program": label, "seconds": statistics.median(seconds), "best": min(seconds)}
        row["first_s"] = min((one["first_s"] for one in found if "first_s" in one), default=None)
        row["peak_mb"] = max(one["pss_mb"] for one in found)
        row["away"] = away.get(label)
        rows.append(row)
    return rows


def main() -> None:
    """Print a table a case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--case", nargs="+", choices=list(SIZES), default=list(SIZES))
    parser.add_argument("--rounds", type=int, help="timed rounds a turn [default: 5 large, 100 small]")
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=PYTHON", help=f"{', '.join(PEERS)}")
    given = parser.parse_args()
    peers = dict(one.split("=", 1) for one in given.peer)
    if unknown := set(peers) - set(PEERS):
        parser.error(f"--peer {unknown.pop()}: expected one of {', '.join(PEERS)}")
    rows = []
    for case in given.case:
        rows += measure(case, given.rounds or {"large": 5, "small": 100}[case], given.turns, peers)
    wrong = [row for row in rows if (row["away"] or 0.0) > AGREE]
    show([row for row in rows if row not in wrong], given)
    if wrong:
        told = (f"{row['case']}, {row['program']}: {row['away']:.1e}" for row in wrong)
        raise SystemExit(f"left out, for the first average is so much of the largest change off: {'; '.join(told)}")


def show(rows: list[dict[str, Any]], given: argparse.Namespace) -> None:
    """Print the tables, or one line of JSON."""
    if given.json:
        print(json.dumps(rows))
        return
    for case in given.case:
        own = [row for row in rows if row["case"] == case]
        loop = min(row["seconds"] for row in own if row["program"].startswith("loop"))
        print(f"\n{case}: {SIZES[case][1]} devices a round of {SIZES[case][0]:,}")
        print(f"{'':24} {'s a round':>10} {'best':>8} {'of the loop':>11} {'first s':>8} {'MB':>6}")
        for row in sorted(own, key=lambda row: row["seconds"]):
            first = f"{row['first_s']:8.2f}" if row["first_s"] else f"{'':8}"
            ratio = row["seconds"] / loop
            print(
                f"{row['program']:24} {row['seconds']:10.4f} {row['best']:8.4f} {ratio:11.2f} {first} "
                f"{row['peak_mb']:6.0f}"
            )


if __name__ == "__main__":
    main()
