"""Five unequal hospitals learn to tell tumours apart without showing each other a record.

The records are scikit-learn's breast-cancer data (569 of them, 30 measurements each); which hospital has which is made
up: one is large, one has 34 records, and they see different patients. Compared are a logistic model and an MLP, each
trained by every hospital alone, by all of them federated, and on all records in one place.

    python examples/hospitals.py [--rounds 30] [--dir runs/hospitals]
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

try:
    from sklearn.datasets import load_breast_cancer
except ModuleNotFoundError:
    raise SystemExit("This example's data come with scikit-learn: pip install -e '.[examples]'") from None

import edgewise
from edgewise.simulation import ArrayData, begun
from edgewise_wire.artifact import Artifact

HOSPITALS = {"county": 0.38, "university": 0.27, "st-anna": 0.17, "riverside": 0.12, "village": 0.06}
HELD_OUT = 4  # every so many-th record only measures
FEATURES = 30


def export(kind: str, path: Path) -> None:
    """Write the logistic model, or the MLP, as a trainable `.tflite`."""
    from edgewise_models.tensorflow import quiet  # first of all: TensorFlow, without its chatter

    with quiet():
        import keras
        from keras import layers

    from edgewise_models.keras_export import export_trainable

    keras.utils.set_random_seed(0)
    hidden = [layers.Dense(16, "relu")] if kind == "mlp" else []
    model = keras.Sequential([keras.Input((FEATURES,), name="features"), *hidden, layers.Dense(2)], name=kind)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    export_trainable(model, loss, batch=16, metrics=["accuracy"], path=path, corrected=False)


def records() -> dict[str, dict[str, np.ndarray[Any, Any]]]:
    """Return each hospital's records: `features` float32[n, 30], `labels` int32[n] (1: benign)."""
    found = load_breast_cancer()
    # Hospitals see different patients: records are sorted by tumour size with noise, and cut into shares.
    rng = np.random.default_rng(0)
    size = found.data[:, 0]
    order = np.argsort(size / size.std() + 1.5 * rng.standard_normal(len(size)))
    ends = np.round(np.cumsum(list(HOSPITALS.values())) * len(order)).astype(int)[:-1]
    parts = zip(HOSPITALS, np.split(order, ends), strict=True)
    return {
        name: {"features": found.data[rows].astype(np.float32), "labels": found.target[rows].astype(np.int32)}
        for name, rows in ((name, rng.permutation(rows)) for name, rows in parts)
    }


def scaled(hospitals: dict[str, dict[str, np.ndarray[Any, Any]]]) -> None:
    """Bring every measurement to mean 0 and deviation 1 over all hospitals, from sums that tell of nobody.

    Each hospital says how many training records it has, and Σx and Σx² of each measurement; secure aggregation would
    hide even these.
    """
    sums = np.zeros((3, FEATURES))
    for one in hospitals.values():
        x = one["features"][~measuring(len(one["labels"]))].astype(np.float64)
        sums += np.stack([np.full(FEATURES, len(x)), x.sum(axis=0), (x * x).sum(axis=0)])
    mean = sums[1] / sums[0]
    deviation = np.sqrt(sums[2] / sums[0] - mean * mean)
    for one in hospitals.values():
        one["features"] = ((one["features"] - mean) / deviation).astype(np.float32)


def measuring(count: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return which of a hospital's records only measure."""
    return np.arange(count) % HELD_OUT == 0


def fleet(model: Path, trained_by: str = "") -> ArrayData:
    """Return all hospitals; with `trained_by` only that one trains, with `everyone` one place has all records."""
    hospitals = records()
    scaled(hospitals)
    split = {}
    for name, one in hospitals.items():
        out = measuring(len(one["labels"]))
        train = {key: array[~out] for key, array in one.items()}
        if trained_by and name != trained_by:
            train = {key: array[:0] for key, array in train.items()}
        split[name] = (train, {key: array[out] for key, array in one.items()})
    if trained_by == "everyone":
        whole = {name: (~measuring(len(one["labels"])), one) for name, one in hospitals.items()}
        keys = ("features", "labels")
        pooled = {key: np.concatenate([one[key][train] for train, one in whole.values()]) for key in keys}
        nothing = {key: array[:0] for key, array in pooled.items()}
        split["everyone"] = (pooled, nothing)
    return ArrayData.of_devices(split, Artifact.load(model).manifest)


def run(rounds: int, directory: Path, **options: Any) -> dict[str, dict[str, float]]:
    """Return the accuracy over all hospitals' held-out records by model and by who trained it."""
    directory.mkdir(parents=True, exist_ok=True)
    found: dict[str, dict[str, float]] = {}
    for kind in ("logistic", "mlp"):
        model = directory / f"{kind}.tflite"
        if not model.exists():
            export(kind, model)
        settings = {"rounds": rounds, "epochs": 2, "learning_rate": 0.1, "fleet": "silo", **options}
        folder = directory / f"federated-{kind}"
        federated = edgewise.simulate(model, fleet(model), cohort=5, directory=folder, resume=begun(folder), **settings)
        found[kind] = {"federated": federated.final("accuracy")}
        for who in (*HOSPITALS, "everyone"):
            alone = edgewise.simulate(model, fleet(model, who), cohort=1, evaluate_every=rounds, **settings)
            found[kind][who] = alone.final("accuracy")
    return found


def main() -> None:
    """Run it and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--dir", type=Path, default=Path("runs/hospitals"))
    given = parser.parse_args()
    found = run(given.rounds, given.dir)
    sizes = {name: len(one["labels"]) for name, one in records().items()}
    table = Table(title="Accuracy on every hospital's held-out records, %", box=box.SIMPLE_HEAD, title_justify="left")
    for heading in ("trained by", "records", *found):
        table.add_column(heading, justify="left" if heading == "trained by" else "right")
    for who in (*HOSPITALS, "federated", "everyone"):
        label = {"federated": "all five, federated", "everyone": "all records in one place"}.get(who, f"{who} alone")
        values = [f"{100 * by[who]:.1f}" for by in found.values()]
        table.add_row(label, str(sizes.get(who, sum(sizes.values()))), *values)
    Console().print(table)
    print(f"Reports: edgewise report {given.dir}")


if __name__ == "__main__":
    main()
