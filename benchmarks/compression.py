"""Recall after the same rounds against the bytes that a device sends, for each codec; its error and its speed.

    .venv/bin/python benchmarks/compression.py --data ../shared/data/nus_sms_en.xml.zip [--json] [--plot curve.png]

Federated averaging in one process, on what devices run: the exported model, the device's trainer and local training,
the coordinator's exact sum; only the messages between them are left out. Every codec gets the same initial weights,
cohorts, orders of examples and rounds, from each seed. `--downlink` sends the versions down shortened, too. `--full`
takes the 1.42 M-parameter model (hours); without `--data`, the corpus that ships with the project is the text. Rates
are of float32 bytes, the best of five with 1,422,250 parameters; `--rounds 0` measures rates and errors alone.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from edgewise.baselines import most_frequent
from edgewise.commands.demo import CLIP_NORM, FULL, MARKS, SMALL, Sizes
from edgewise.demo.people import choose
from edgewise.vocabulary import build_vocabulary, write_vocabulary
from edgewise_coordinator.exact_sum import ExactSum
from edgewise_edge.local_training import ArrayExamples, device_generator, evaluate_locally, run_to_end, train_locally
from edgewise_edge.next_word import rows
from edgewise_edge.tokenizer import WordTokenizer
from edgewise_edge.trainer import Trainer
from edgewise_wire.transforms import Key, get
from edgewise_wire.transforms.delta import base_of, check_downlink, shorten
from edgewise_wire.weights import Flat, flatten, to_bytes

CODECS = (
    "float32", "float16", "rotated-8", "rotated-4", "rotated-3", "rotated-2", "eden-4", "eden-3", "eden-2", "eden-1",
    "topk-0.1", "topk-0.05", "topk-0.01",
)  # fmt: skip
FULL_PARAMETERS = 1_422_250
HELD_OUT = 5  # every fifth message, as on a device
TENTH, WITHIN = 0.1, 0.01  # the goal: recall within 1 % (relative) of float32's, at a tenth of its bytes

Data = dict[str, tuple[ArrayExamples, ArrayExamples]]
"""Each device's examples to train on and to measure with."""


@dataclass(frozen=True)
class Run:
    """One codec, one seed, and where what it needs lies."""

    codec: str
    seed: int
    model: Path
    people: Path
    downlink: str
    rounds: int
    cohort: int
    epochs: int
    learning_rate: float
    max_examples: int
    measure_every: int


def main() -> None:
    """Measure and print."""
    options = _options()
    report: dict[str, Any] = {"settings": _settings(options)}
    trained: list[dict[str, Any]] = []
    if options.rounds:
        trained = _train_all(options, report)
    report["codecs"] = [rates(codec, FULL_PARAMETERS) | _summary(codec, trained) for codec in options.codecs]
    if options.plot and trained:
        draw(report, trained, options.plot)
    print(json.dumps(report) if options.json else table(report))


def _train_all(options: Any, report: dict[str, Any]) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        model, people, report["most_frequent_top1"] = _prepare(Path(folder), options)
        shared = {name: getattr(options, name) for name in Run.__annotations__ if hasattr(options, name)}
        runs = [Run(codec, seed, model, people, **shared) for seed in options.seeds for codec in options.codecs]
        with ProcessPoolExecutor(options.jobs, get_context("spawn")) as pool:
            return list(pool.map(train, runs))


def train(run: Run) -> dict[str, Any]:
    """Do all rounds of one codec and return the recall on the way."""
    trainer = Trainer(run.model)
    specs, data = trainer.manifest.weights, _examples(run.people, trainer)
    weights = published = flatten(trainer.get_weights(), specs)
    residuals: dict[str, Flat | None] = {}
    curve, errors, down = [], [], 0
    for number in range(1, run.rounds + 1):
        total = ExactSum(len(weights))
        for arrived, examples, error in _cohort_updates(run, number, trainer, published, data, residuals):
            total.add(arrived, float(examples))
            errors.append(error)
        weights = weights + total.mean()
        published, down = _publish(run.downlink, weights, published)
        if number % run.measure_every == 0 or number == run.rounds:
            curve.append({"round": number} | _recall(trainer, published, data))
    return {
        "codec": run.codec, "seed": run.seed, "parameters": len(weights), "bytes_down": down,
        "error_on_updates": float(np.mean(errors)), "curve": curve,
    }  # fmt: skip


def _cohort_updates(
    run: Run, number: int, trainer: Trainer, weights: Flat, data: Data, residuals: dict[str, Flat | None]
) -> Iterator[tuple[Flat, int, float]]:
    """Yield what arrives of each update of a round, the examples it counts for, and its normalised error."""
    codec = get(run.codec)
    chosen = np.random.default_rng([run.seed, number]).choice(sorted(data), run.cohort, replace=False)
    for device in sorted(chosen.tolist()):
        local = run_to_end(
            train_locally(
                trainer, weights, data[device][0], epochs=run.epochs, learning_rate=run.learning_rate,
                max_examples=run.max_examples, rng=device_generator(run.seed, number, device),
            )
        )  # fmt: skip
        key = Key(run.seed, number, device)
        owed = residuals.get(device)
        encoded = codec.encode(local.update, key, owed)
        residuals[device] = encoded.residual
        arrived = codec.decode(encoded.data, len(weights), key)
        meant = local.update if owed is None else local.update + owed
        yield arrived, local.examples, _error(arrived, meant)


def _publish(name: str, weights: Flat, before: Flat) -> tuple[Flat, int]:
    """Return what devices get of a version, and the bytes that a device with the one before it fetches."""
    if not name:
        return weights, 4 * len(weights)
    sent = shorten(name, weights, before, base_of(name, hashlib.sha256(to_bytes(before)).digest()))
    return sent.weights, len(sent.data)


def rates(name: str, parameters: int) -> dict[str, Any]:
    """Return a codec's speed in MB of float32 a second, and its normalised error on Gaussian values."""
    codec, key = get(name), Key(0, 1, "device")
    x = np.random.default_rng(0).standard_normal(parameters).astype(np.float32) * np.float32(1e-3)
    encoding, decoding, decoded = [], [], x
    for _ in range(5):
        start = time.perf_counter()
        data = codec.encode(x, key, None).data
        middle = time.perf_counter()
        decoded = codec.decode(data, parameters, key)
        encoding.append(middle - start)
        decoding.append(time.perf_counter() - middle)
    return {
        "codec": name,
        "of_float32": codec.size(parameters) / (4 * parameters),
        "bytes_full_size": codec.size(parameters),
        "error_on_gaussian": _error(decoded, x),
        "encode_mb_s": round(4 * parameters / min(encoding) / 1e6),
        "decode_mb_s": round(4 * parameters / min(decoding) / 1e6),
    }


def _error(found: Flat, x: Flat) -> float:
    """Return ‖x̂ − x‖²/‖x‖²."""
    return float(((found - x) ** 2).sum(dtype="f8") / (x**2).sum(dtype="f8"))


def _examples(people: Path, trainer: Trainer) -> Data:
    manifest = trainer.manifest
    tokenizer, found = WordTokenizer(manifest.vocabulary), {}
    for device, texts in json.loads(people.read_text("utf-8")).items():
        parts = []
        for held_out in (False, True):
            made = rows(_part(texts, held_out), tokenizer, steps=manifest.steps, for_evaluation=held_out)
            parts.append(ArrayExamples(made._asdict(), manifest.batch))
        found[device] = (parts[0], parts[1])
    return found


def _part(texts: list[str], held_out: bool) -> list[str]:
    return [t for n, t in enumerate(texts, start=1) if (n % HELD_OUT == 0) is held_out]


def _recall(trainer: Trainer, weights: Flat, data: Data) -> dict[str, float]:
    sums: dict[str, float] = {}
    for _, held_out in data.values():
        for name, value in run_to_end(evaluate_locally(trainer, weights, held_out)).sums.items():
            sums[name] = sums.get(name, 0.0) + value
    return {name: value / sums["weight_sum"] for name, value in sums.items() if name != "weight_sum"}


def _prepare(folder: Path, options: Any) -> tuple[Path, Path, float]:
    """Read the text, build the word list, export the model; return where they are, and the recall to beat."""
    sizes: Sizes = FULL if options.full else SMALL
    if options.data is None:
        from edgewise.corpus import generate, words

        everyone, vocabulary = generate(seed=0), words()[: sizes.vocabulary - MARKS]
    else:
        from edgewise_edge.readers.people import read_people

        everyone = read_people(options.data)
        vocabulary = build_vocabulary((t for ts in everyone.values() for t in ts), sizes.vocabulary - MARKS)
    chosen = choose(everyone, options.devices, str(options.data or "the corpus"))
    people, model = folder / "people.json", folder / "model.tflite"
    people.write_text(json.dumps(chosen), "utf-8")
    write_vocabulary(folder / "words.txt", vocabulary)
    export = ["export", "next-word", "--out", model, "--vocabulary", folder / "words.txt", "--clip-norm", CLIP_NORM]
    export += ["--embedding", sizes.embedding, "--units", sizes.units, "--steps", sizes.steps, "--no-corrected"]
    subprocess.run([sys.executable, "-m", "edgewise", *map(str, export)], check=True, stdout=sys.stderr)
    train_texts, held_out = ([t for ts in chosen.values() for t in _part(ts, which)] for which in (False, True))
    baseline = most_frequent(train_texts, held_out, WordTokenizer(vocabulary), steps=sizes.steps)
    return model, people, baseline.top1


def _settings(options: Any) -> dict[str, Any]:
    found = vars(options) | {"cores": os.cpu_count()}
    return {name: str(value) if isinstance(value, Path) else value for name, value in found.items()}


def _summary(codec: str, trained: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what a codec's runs came to, the mean over seeds, beside float32's with the same seeds."""
    mine = [t for t in trained if t["codec"] == codec]
    plain = [t for t in trained if t["codec"] == "float32"]
    if not mine:
        return {}
    parameters = mine[0]["parameters"]
    row = {"parameters": parameters, "bytes_up": get(codec).size(parameters), "bytes_down": mine[0]["bytes_down"]}
    row["of_float32"] = row["bytes_up"] / (4 * parameters)
    row["error_on_updates"] = float(np.mean([t["error_on_updates"] for t in mine]))
    for name in ("loss_sum", "top1", "top3"):
        row[name.removesuffix("_sum")] = float(np.mean([t["curve"][-1][name] for t in mine]))
        if plain:
            ratios = [m["curve"][-1][name] / p["curve"][-1][name] for m, p in zip(mine, plain, strict=True)]
            row[f"{name.removesuffix('_sum')}_of_float32"] = float(np.mean(ratios))
    return row


def table(report: dict[str, Any]) -> str:
    """Return the report for people."""
    s = report["settings"]
    lines = [
        f"Rates in MB of float32 a second, {FULL_PARAMETERS:,} parameters; error ‖x̂ − x‖²/‖x‖² on Gaussian values."
    ]
    lines.append(f"{'codec':10} {'bytes':>9} {'of float32':>10} {'error':>9} {'encode':>7} {'decode':>7}")
    for c in report["codecs"]:
        error = f"{c['error_on_gaussian']:9.5f} {c['encode_mb_s']:7} {c['decode_mb_s']:7}"
        lines.append(f"{c['codec']:10} {c['bytes_full_size']:9} {c['of_float32']:10.4f} {error}")
    if "most_frequent_top1" not in report:
        return "\n".join(lines)
    lines += [
        "",
        f"{s['rounds']} rounds, {s['cohort']} of {s['devices']} devices in each, seeds {s['seeds']}, down "
        f"{s['downlink'] or 'float32'}; always the most frequent word: top-1 {report['most_frequent_top1']:.4f}.",
        f"{'codec':10} {'bytes up':>9} {'of float32':>10} {'error':>9} {'top-1':>7} {'top-3':>7}  of float32's",
    ]
    for c in report["codecs"]:
        recall = f"{c['error_on_updates']:9.5f} {c['top1']:7.4f} {c['top3']:7.4f}"
        relative = [c.get(f"{name}_of_float32", float("nan")) for name in ("top1", "top3")]
        goal = "  goal" if c["of_float32"] <= TENTH and min(relative) >= 1 - WITHIN else ""
        sent = f"{c['codec']:10} {c['bytes_up']:9} {c['of_float32']:10.4f}"
        lines.append(f"{sent} {recall}  {relative[0]:.3f} {relative[1]:.3f}{goal}")
    return "\n".join(lines)


def draw(report: dict[str, Any], trained: list[dict[str, Any]], path: Path) -> None:
    """Draw recall against bytes, and recall against rounds."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(13, 5.5))
    colours = plt.get_cmap("tab20").colors
    for c, colour in zip(report["codecs"], colours, strict=False):
        left.plot(c["bytes_up"] / 1e3, 100 * c["top1"], "o", label=c["codec"], color=colour)
        mine = [t["curve"] for t in trained if t["codec"] == c["codec"]]
        recall = 100 * np.mean([[p["top1"] for p in curve] for curve in mine], axis=0)
        right.plot([p["round"] for p in mine[0]], recall, label=c["codec"], color=colour)
    plain = next((c for c in report["codecs"] if c["codec"] == "float32"), None)
    if plain:
        band = 100 * plain["top1"] * (1 - WITHIN), 100 * plain["top1"] * (1 + WITHIN)
        left.axhspan(*band, alpha=0.15, label="within 1 % of float32")
        left.axvline(plain["bytes_up"] * TENTH / 1e3, linestyle=":", color="gray", label="a tenth of its bytes")
    left.set(xscale="log", xlabel="kB that a device sends in a round", ylabel="top-1 recall after the last round, %")
    right.set(xlabel="round", ylabel="top-1 recall, %")
    left.legend(fontsize=8, ncols=2)
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="text that `edgewise device import` reads")
    parser.add_argument("--codecs", nargs="+", default=list(CODECS))
    parser.add_argument("--downlink", default="", help="how versions go down, such as lloyd-4; as they are if left out")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--devices", type=int, default=20)
    parser.add_argument("--cohort", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--max-examples", type=int, default=320)
    parser.add_argument("--learning-rate", type=float, default=None, help="default: the demo's")
    parser.add_argument("--measure-every", type=int, default=10)
    parser.add_argument("--full", action="store_true", help="the 1.42 M-parameter model")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--plot", type=Path, help="where to write a PNG")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    check_downlink(options.downlink)
    if options.learning_rate is None:
        options.learning_rate = (FULL if options.full else SMALL).learning_rate
    return options


if __name__ == "__main__":
    main()
