"""Twelve banks learn to find fraud together; each has seen only some of the kinds that there are.

The payments are made up, by this very file: 48,000 of them, one in a hundred fraudulent, in four kinds of fraud that
banks meet unequally. No result of it says anything about real payments; it shows how a rare class is handled, and what
a bank gains that has never met a kind of fraud. The measure is average precision (the area under the precision-recall
curve): accuracy would praise a model that never suspects anybody.

    python examples/fraud.py [--rounds 40] [--dir runs/fraud]
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import edgewise
from edgewise.simulation import ArrayData, begun
from edgewise_edge.trainer import Trainer
from edgewise_wire.artifact import Artifact
from edgewise_wire.weights import Array

BANKS, PAYMENTS, FRAUD = 12, 4000, 0.01
FEATURES = ("amount", "night", "distance", "new payee", "pace", "abroad", "age of account", "tries")
WEIGHT = 20.0  # of a fraudulent payment in training: a hundred times rarer, and dearer to miss
HELD_OUT = 4
KINDS = np.array(  # what is unusual about each kind of fraud, by feature, in deviations
    [
        [2.5, 1.5, 0.0, 2.0, 0.0, 0.0, 0.0, 0.0],  # emptied at night, to a new payee
        [-0.5, 0.0, 0.0, 0.0, 3.0, 0.0, 0.0, 2.0],  # cards tried out with small sums
        [1.0, 0.0, 3.0, 0.0, 0.0, 2.5, 0.0, 0.0],  # a card that travels alone
        [1.5, 0.0, 0.0, 1.5, 1.0, 0.0, -2.5, 0.0],  # mule accounts
    ]
)


def export(path: Path) -> None:
    """Write an MLP as a trainable `.tflite`."""
    from edgewise_models.tensorflow import quiet  # first of all: TensorFlow, without its chatter

    with quiet():
        import keras
        from keras import layers

    from edgewise_models.keras_export import export_trainable
    from edgewise_models.zoo.table import classifier

    keras.utils.set_random_seed(0)
    inputs = keras.Input((len(FEATURES),), name="features")
    value = layers.Dense(32, "relu")(inputs)
    model = keras.Model(inputs, layers.Dense(2)(layers.Dense(16, "relu")(value)), name="fraud")
    export_trainable(**classifier(model, 64), path=path, corrected=False)


def payments(bank: int) -> dict[str, Array]:
    """Return a bank's payments: `features` float32[n, 8] in deviations from its own customers' mean, `labels`."""
    rng = np.random.default_rng([7, bank])
    labels = (rng.random(PAYMENTS) < FRAUD).astype(np.int32)
    features = rng.standard_normal((PAYMENTS, len(FEATURES)))
    features[:, 0] += 0.5 * features[:, 2] + 0.3 * rng.standard_normal()  # far away one spends more
    met = rng.dirichlet(np.full(len(KINDS), 0.3))  # most banks have met one kind or two
    kinds = rng.choice(len(KINDS), PAYMENTS, p=met)
    features += labels[:, None] * KINDS[kinds] * rng.uniform(0.5, 1.1, (PAYMENTS, 1))
    return {"features": features.astype(np.float32), "labels": labels}


def fleet(model: Path, banks: list[int]) -> ArrayData:
    """Return the banks' payments; a quarter only measures, and fraud weighs more in training."""
    split = {}
    for bank in banks:
        own = payments(bank)
        out = np.arange(PAYMENTS) % HELD_OUT == 0
        train = {name: array[~out] for name, array in own.items()}
        train["weight"] = np.where(train["labels"] == 1, WEIGHT, 1.0).astype(np.float32)
        split[f"bank-{bank:02}"] = (train, {name: array[out] for name, array in own.items()})
    return ArrayData.of_devices(split, Artifact.load(model).manifest)


def average_precision(suspicion: NDArray[np.float64], fraud: NDArray[np.int32]) -> float:
    """Return the mean, over the fraudulent payments, of the precision among those at least as suspicious.

    Example:
        >>> average_precision(np.array([0.9, 0.8, 0.1]), np.array([1, 0, 1]))
        0.8333333333333333
    """
    order = np.argsort(-suspicion, kind="stable")
    hits = np.cumsum(fraud[order])
    precision = hits / np.arange(1, len(hits) + 1)
    return float(precision[fraud[order] == 1].mean())


def measure(model: bytes, every: int = 1) -> float:
    """Return a model's average precision over all banks' held-out payments, or every so many-th of them."""
    trainer = Trainer(model)
    held_out = [{name: array[::HELD_OUT] for name, array in payments(bank).items()} for bank in range(BANKS)]
    features = np.concatenate([one["features"] for one in held_out])[::every]
    labels = np.concatenate([one["labels"] for one in held_out])[::every]
    suspicion = [float(trainer.infer(row[None])["probabilities"][0, 1]) for row in features]
    return average_precision(np.array(suspicion), labels)


def run(rounds: int, directory: Path, alone: int = 3, every: int = 1, **options: Any) -> dict[str, float]:
    """Return average precision over all banks: of the federated model, and of a few banks that trained alone."""
    directory.mkdir(parents=True, exist_ok=True)
    model = directory / "fraud-untrained.tflite"
    if not model.exists():
        export(model)
    folder = directory / "federated"
    settings = {"rounds": rounds, "learning_rate": 0.05, "fleet": "silo", "evaluate_every": 10, **options}
    federated = edgewise.simulate(
        model, fleet(model, list(range(BANKS))), cohort=8, algorithm="fedavgm", server_learning_rate=0.5,
        directory=folder, resume=begun(folder), **settings,
    )  # fmt: skip
    found = {"untrained": measure(model.read_bytes(), every), "federated": measure(federated.model, every)}
    for bank in range(alone):
        own = edgewise.simulate(model, fleet(model, [bank]), cohort=1, **settings)
        found[f"bank-{bank:02} alone"] = measure(own.model, every)
    return found


def main() -> None:
    """Run it and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--alone", type=int, default=BANKS, help="banks to train alone, for comparison")
    parser.add_argument("--dir", type=Path, default=Path("runs/fraud"))
    given = parser.parse_args()
    print(f"{'trained by':20} average precision over all banks' held-out payments")
    for who, value in run(given.rounds, given.dir, given.alone).items():
        print(f"{who:20} {value:.3f}")
    print(f"Report: edgewise report {given.dir}")


if __name__ == "__main__":
    main()
