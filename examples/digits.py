"""Sixty devices learn to read digits, each from the handwriting that it has seen: mostly two or three digits.

The images are scikit-learn's (1,797 of 8×8 pixels). They are dealt out by label from a Dirichlet distribution, so no
device could learn all ten digits alone. The model is the zoo's small CNN; FedAvg, FedProx and SCAFFOLD run on the same
cohorts.

    python examples/digits.py [--rounds 60] [--dir runs/digits]
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from edgewise.simulation import ArrayData, Result
from edgewise.simulation.compare import compare
from edgewise.simulation.partition import by_label
from edgewise.simulation.plots import draw_curves
from edgewise.simulation.view import summary
from edgewise_wire.artifact import Artifact

try:
    from sklearn.datasets import load_digits
except ModuleNotFoundError:
    raise SystemExit("This example's data come with scikit-learn: pip install -e '.[examples]'") from None

DEVICES = 60
ALPHA = 0.3  # of the Dirichlet distribution: the smaller, the fewer digits a device has
HELD_OUT = 5
ALGORITHMS = "fedavg,fedprox:mu=0.1,scaffold"


def export(path: Path) -> None:
    """Write the CNN as a trainable `.tflite`."""
    from edgewise_models.tensorflow import quiet  # first of all: TensorFlow, without its chatter

    with quiet():
        import keras

    from edgewise_models.keras_export import export_trainable
    from edgewise_models.zoo import cnn

    keras.utils.set_random_seed(0)
    export_trainable(**cnn(size=8, channels=1, filters=(8, 16), classes=10), path=path)


def fleet(model: Path) -> ArrayData:
    """Return the devices' images; every fifth only measures."""
    found = load_digits()
    images, labels = (found.images[..., None] / 16.0).astype(np.float32), found.target.astype(np.int32)
    split = {}
    for number, rows in enumerate(by_label(labels, DEVICES, ALPHA)):
        mixed = np.random.default_rng(number).permutation(rows)
        out = np.arange(len(mixed)) % HELD_OUT == HELD_OUT - 1
        parts = [{"image": images[mixed[which]], "labels": labels[mixed[which]]} for which in (~out, out)]
        split[f"device-{number:02}"] = (parts[0], parts[1])
    return ArrayData.of_devices(split, Artifact.load(model).manifest)


def run(rounds: int, directory: Path, **options: Any) -> dict[str, Result]:
    """Return what each algorithm came to, on the same cohorts."""
    directory.mkdir(parents=True, exist_ok=True)
    model = directory / "cnn.tflite"
    if not model.exists():
        export(model)
    settings = {"rounds": rounds, "cohort": 10, "epochs": 3, "learning_rate": 0.1, "fleet": "pi-fleet", **options}
    results = compare(model, fleet(model), ALGORITHMS, directory=directory, resume=True, over_selection=1.2, **settings)
    draw_curves({label: result.history for label, result in results.items()}, directory / "comparison.png")
    return results


def main() -> None:
    """Run it and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--dir", type=Path, default=Path("runs/digits"))
    given = parser.parse_args()
    results = run(given.rounds, given.dir)
    Console().print(summary(results))
    for label, result in results.items():
        print(f"{label}: 90 % after {result.rounds_until('accuracy', 0.9)} rounds")
    print(f"Plot: {given.dir / 'comparison.png'}; report: edgewise report {given.dir}")


if __name__ == "__main__":
    main()
