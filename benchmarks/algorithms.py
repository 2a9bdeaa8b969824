"""Rounds to a target for FedAvg, FedProx, SCAFFOLD and FedAdam where devices are unlike, beside what their papers say.

    .venv/bin/python benchmarks/algorithms.py [--json] [--task linear-1 …] [--dir DIR] [--figure PATH]

Four tasks, each simulated with the real `.tflite`; those of digits need the extra `examples` (scikit-learn):

    linear-1   scikit-learn's digits on 40 devices of equal size: a tenth of the images is dealt out at random, the rest
               is sorted by label and cut, so that a device has one or two of ten digits and a few of the others
               (similarity 10 % of Karimireddy et al. 2020, §7); logistic regression, as there; one local epoch
    linear-10  the same, ten local epochs: much drift between two rounds
    cnn-1      the same digits, the zoo's CNN: not convex; one local epoch
    words      70 people of the corpus, each of whom writes about one topic alone; a small next-word model, two epochs

A quarter of the devices report in each round (a seventh of the people). Each algorithm's rates are chosen on a seed of
their own from the grids below (as the papers do: FedProx's mu at FedAvg's rate), then it runs on three others. For
one seed the split, the cohorts and the initial weights are the same for all. A target counts as reached in the
first round from which the mean of five evaluations is at it: one lucky round is none.

Every run's curve is kept in `--dir`, and is not run again; `--figure` draws the medians.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

TUNING, SEEDS = 100, (0, 1, 2)
WINDOW = 5  # evaluations whose mean must be at the target
ALGORITHMS = ("fedavg", "fedprox", "scaffold", "fedadam")
DEVICES, SIMILARITY = 40, 0.1
MU = (0.01, 0.1, 1.0)
FURTHER = 4  # rates that a grid grows by at the most
Settings = dict[str, float]
Grid = dict[str, tuple[float, ...]]
EXTRA = ".venv/bin/python -m pip install --editable '.[examples]'"


@dataclass(frozen=True)
class Task:
    """One comparison: what is learnt, how, and what counts as learnt."""

    name: str
    metric: str
    target: float
    rounds: int
    cohort: int
    epochs: int
    rates: tuple[float, ...]
    server_rates: tuple[float, ...]


TASKS = {
    task.name: task
    for task in (
        Task("linear-1", "accuracy", 0.85, 100, 10, 1, (0.1, 0.3, 1.0, 3.0), (0.01, 0.03)),
        Task("linear-10", "accuracy", 0.85, 60, 10, 10, (0.03, 0.1, 0.3, 1.0), (0.01, 0.03)),
        Task("cnn-1", "accuracy", 0.85, 100, 10, 1, (0.03, 0.1, 0.3, 1.0), (0.01, 0.03)),
        Task("words", "top1", 0.15, 60, 10, 2, (1.0, 2.0, 4.0, 8.0), (0.03, 0.1)),
    )
}

EXPORT = {
    "linear": (
        "import keras\nfrom edgewise_models.keras_export import export_trainable\nkeras.utils.set_random_seed(0)\n"
        "layers = [keras.Input((8, 8, 1), name='image'), keras.layers.Flatten(), keras.layers.Dense(10)]\n"
        "loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)\n"
        "export_trainable(keras.Sequential(layers), loss, batch=16, metrics=['accuracy'], path=PATH)\n"
    ),
    "cnn": (
        "import keras\nfrom edgewise_models.keras_export import export_trainable\nfrom edgewise_models.zoo import cnn\n"
        "keras.utils.set_random_seed(0)\n"
        "export_trainable(**cnn(size=8, channels=1, filters=(8, 16), classes=10), path=PATH)\n"
    ),
    "words": (
        "from edgewise import corpus\nfrom edgewise_models.export import export_next_word\n"
        "from edgewise_models.next_word import MARKS, NextWord\nwords = corpus.words()[:1500]\n"
        "config = NextWord(vocabulary=MARKS + 1500, embedding=32, units=64, steps=12, clip_norm=1.0)\n"
        "export_next_word(PATH, words, config)\n"
    ),
}


def model_of(task: Task, directory: Path) -> Path:
    """Return the task's model file, exported in a process of its own if it is not there."""
    kind = task.name.partition("-")[0]
    path = directory / f"{kind}.tflite"
    if not path.exists():
        code = f"from pathlib import Path\nPATH = Path({str(path)!r})\n{EXPORT[kind]}"
        subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"})
    return path


def data_of(task: Task, model: Path, seed: int) -> Any:
    """Return the devices' examples, dealt out by this seed; every fifth only measures."""
    from edgewise import corpus
    from edgewise.simulation.data import ArrayData, text_data
    from edgewise_wire.artifact import Artifact

    manifest = Artifact.load(model).manifest
    if task.name == "words":
        return text_data(corpus.generate(70, seed, (60, 120), apart=True), manifest)
    from sklearn.datasets import load_digits

    found = load_digits()
    images, labels = (found.images[..., None] / 16.0).astype(np.float32), found.target.astype(np.int32)
    split = {}
    mixed = np.random.default_rng(seed).permutation(len(labels))
    alike, rest = np.split(mixed, [round(SIMILARITY * len(mixed))])
    unlike = np.array_split(rest[np.argsort(labels[rest], kind="stable")], DEVICES)
    for number, rows in enumerate(map(np.concatenate, zip(np.array_split(alike, DEVICES), unlike, strict=True))):
        out = np.random.default_rng([seed, number]).permutation(len(rows)) % 5 == 4
        parts = [{"image": images[rows[which]], "labels": labels[rows[which]]} for which in (~out, out)]
        split[f"device-{number:02}"] = (parts[0], parts[1])
    return ArrayData.of_devices(split, manifest)


def grid(task: Task, algorithm: str, rate: float) -> Grid:
    """Return the values to begin choosing from; `rate` is FedAvg's best one, at which FedProx is tuned."""
    if algorithm == "fedprox":
        return {"learning_rate": (rate,), "mu": MU}
    if algorithm == "fedadam":
        return {"learning_rate": task.rates[-3:-1], "server_learning_rate": task.server_rates}
    return {"learning_rate": task.rates}


def tuned(begin: Grid, score: Callable[[list[Settings]], list[float]]) -> tuple[Settings, Grid]:
    """Return the settings with the best score, and the grid that they were chosen from.

    A grid whose best rate lies at an end goes on there, by one rate at a time, until the best has a worse one on each
    side or `FURTHER` were added. FedProx's μ does not: below the smallest it is FedAvg.

    Args:
        begin: the values to begin with; names of rates end in `rate`.
        score: gives a score to each of some settings.
    """
    axes, known = dict(begin), dict[tuple[float, ...], float]()
    while True:
        new = [values for values in product(*axes.values()) if values not in known]
        known |= zip(new, score([dict(zip(axes, values, strict=True)) for values in new]), strict=True)
        best = dict(zip(axes, max(known, key=lambda values: known[values]), strict=True))
        wider = {name: _on(axes[name], begin[name], best[name]) for name in axes if name.endswith("rate")}
        if all(wider[name] == axes[name] for name in wider):
            return best, axes
        axes |= wider


def _on(rates: tuple[float, ...], begun: tuple[float, ...], best: float) -> tuple[float, ...]:
    """Return the rates with one more at the end where the best lies."""
    if len(rates) == 1 or len(rates) - len(begun) >= FURTHER or rates[0] < best < rates[-1]:
        return rates
    beside = _beside(best, up=best == rates[-1], doubling=begun[1] == 2 * begun[0])
    return (*rates, beside) if best == rates[-1] else (beside, *rates)


def _beside(rate: float, *, up: bool, doubling: bool) -> float:
    """Return the next rate of a grid of doublings, or of one like 0.1, 0.3, 1, 3."""
    factor = 2.0 if doubling else 3.0 if up == f"{rate:e}".startswith("1") else 10 / 3
    return float(f"{rate * factor if up else rate / factor:.2g}")


def run(name: str, algorithm: str, settings: dict[str, float], seed: int, directory: Path) -> list[float]:
    """Return the metric after every round, from the run's file if it has been run."""
    task = TASKS[name]
    label = "-".join([name, algorithm, *(f"{key}={value:g}" for key, value in sorted(settings.items())), str(seed)])
    path = directory / f"{label}.json"
    if path.exists():
        return whole(json.loads(path.read_text()), task)
    from edgewise.simulation import simulate

    model = directory / f"{name.partition('-')[0]}.tflite"
    result = simulate(
        model, data_of(task, model, seed), rounds=task.rounds, cohort=task.cohort, epochs=task.epochs, seed=seed,
        algorithm=algorithm, engine="inline", **settings,
    )  # fmt: skip
    found = [row[task.metric] for row in result.measured]
    path.write_text(json.dumps(found))
    return whole(found, task)


def whole(curve: list[float], task: Task) -> list[float]:
    """Return a curve of all rounds: one that ended because training diverged is worth nothing from there on."""
    return [*curve, *[0.0] * task.rounds][: task.rounds + 1]


def reached(curve: list[float], target: float) -> int | None:
    """Return the first round from which the mean of `WINDOW` evaluations is at the target; round 0 is untrained."""
    means = np.convolve(curve, np.full(WINDOW, 1 / WINDOW), mode="valid")
    at = np.flatnonzero(means >= target)
    return int(at[0]) if len(at) else None


def compared(task: Task, directory: Path, pool: ProcessPoolExecutor) -> list[dict[str, Any]]:
    """Return a row an algorithm."""
    best_rate, rows = task.rates[0], []
    for algorithm in ALGORITHMS:

        def score(tried: list[Settings], algorithm: str = algorithm) -> list[float]:
            runs = [pool.submit(run, task.name, algorithm, one, TUNING, directory) for one in tried]
            return [float(np.nanmean(one.result())) for one in runs]  # the whole curve: who is fast and stays there

        chosen, axes = tuned(grid(task, algorithm, best_rate), score)
        if algorithm == "fedavg":
            best_rate = chosen["learning_rate"]
        runs = [pool.submit(run, task.name, algorithm, chosen, seed, directory) for seed in SEEDS]
        curves = [one.result() for one in runs]
        row = {"task": task.name, "algorithm": algorithm, "settings": chosen, "grid": axes, "curves": curves}
        row["rounds"] = [reached(curve, task.target) for curve in curves]
        row["final"] = [statistics.fmean(curve[-WINDOW:]) for curve in curves]
        rows.append(row)
        print(f"{task.name}: {algorithm} {chosen} {row['rounds']}", file=sys.stderr)
    return rows


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Draw the median curve of each algorithm over the seeds, and between which curves it lies."""
    from matplotlib.figure import Figure

    from edgewise.simulation.plots import COLORS

    names = list(dict.fromkeys(row["task"] for row in rows))
    figure = Figure(figsize=(3.4 * len(names), 3.4), layout="constrained")
    for axes, name in zip(np.atleast_1d(figure.subplots(1, len(names))), names, strict=True):
        task = TASKS[name]
        for number, row in enumerate(row for row in rows if row["task"] == name):
            curves = 100 * np.array([np.convolve(c, np.full(WINDOW, 1 / WINDOW), mode="valid") for c in row["curves"]])
            middle, xs = np.median(curves, axis=0), np.arange(curves.shape[1])
            axes.fill_between(xs, curves.min(axis=0), curves.max(axis=0), color=COLORS[number], alpha=0.15, lw=0)
            axes.plot(xs, middle, color=COLORS[number], lw=1.4, label=row["algorithm"])
        axes.axhline(100 * task.target, color="#7a7a7a", lw=0.8, ls=":")
        axes.set(title=name, xlabel="round", ylabel=f"{task.metric}, %")
        axes.grid(alpha=0.3)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), fontsize="small", frameon=False)
    figure.savefig(path)


def tell(rows: list[dict[str, Any]]) -> None:
    """Print the table."""
    for name in dict.fromkeys(row["task"] for row in rows):
        task = TASKS[name]
        print(f"\n{name}: rounds until {task.metric} {100 * task.target:g} % (of {task.rounds}), {len(SEEDS)} seeds")
        print(f"{'':10} {'median':>7} {'each seed':>15} {'at the end, %':>14}  settings")
        for row in (row for row in rows if row["task"] == name):
            sure = [task.rounds + 1 if r is None else r for r in row["rounds"]]
            median = int(statistics.median(sure))
            each = ", ".join("never" if r is None else str(r) for r in row["rounds"])
            settings = ", ".join(
                f"{key} {value:g} of {'/'.join(f'{one:g}' for one in row['grid'][key])}"
                for key, value in row["settings"].items()
            )
            told = f"> {task.rounds}" if median > task.rounds else str(median)
            print(
                f"{row['algorithm']:10} {told:>7} {each:>15} {100 * statistics.median(row['final']):14.1f}  {settings}"
            )


def main() -> None:
    """Run what has not been run, and print a table a task."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--task", nargs="+", choices=list(TASKS), default=list(TASKS))
    parser.add_argument("--dir", type=Path, default=Path("runs/algorithms"))
    parser.add_argument("--figure", type=Path, help="where to draw the curves: an .svg, .png or .pdf")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args()
    digits = [name for name in given.task if name != "words"]
    if digits and importlib.util.find_spec("sklearn") is None:
        parser.error(
            f"--task {' '.join(digits)}: expected scikit-learn, which has the digits, here; install it with {EXTRA}"
        )
    given.dir.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    with ProcessPoolExecutor(given.processes, mp_context=get_context("spawn")) as pool:
        for name in given.task:
            model_of(TASKS[name], given.dir)
            rows += compared(TASKS[name], given.dir, pool)
    if given.figure:
        draw(rows, given.figure)
    print(json.dumps(rows)) if given.json else tell(rows)


if __name__ == "__main__":
    main()
