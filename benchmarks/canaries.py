#!/usr/bin/env python3
"""Canaries in one device's text, trained in with and without differential privacy: how far they are exposed.

    python benchmarks/canaries.py [--rounds 6] [--devices 6]

The whole system in one process: coordinator, agents, the wire, the tiny model of the tests. One device has nothing but
canaries: a fixed beginning and two random words of 18 (Carlini et al. 2019, §4); exposure is log2 of how much likelier
than chance its rank is, at most 8.3 bits, 1.4 on average for a model that never saw it. The recall column says what the
others' text has taught the model meanwhile.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests/support"), str(ROOT / "tests/integration")]

from test_canaries import COPIES, SENTENCES, SPACE  # noqa: E402

from canaries import Canary, draw, exposure, loss  # noqa: E402
from edgewise_coordinator.algorithms.fedavg import fedavg  # noqa: E402
from edgewise_coordinator.privacy.clipping import flat  # noqa: E402
from edgewise_coordinator.privacy.mechanisms.gaussian import gaussian  # noqa: E402
from edgewise_coordinator.privacy.settings import PrivacySettings  # noqa: E402
from edgewise_coordinator.settings import RoundSettings, Settings, TrainingSettings  # noqa: E402
from edgewise_edge.trainer import Trainer  # noqa: E402
from memory_fleet import MemoryFleet  # noqa: E402

DELTA = 1e-3


def train(
    folder: Path, model: Path, canaries: list[Canary], promise: PrivacySettings | None, o: argparse.Namespace
) -> Trainer:
    """Run the rounds and return the last version."""
    texts = {f"pi-{n}": SENTENCES * 4 for n in range(o.devices)}
    texts["pi-0"] = [c.text for c in canaries for _ in range(COPIES)]
    settings = Settings(
        "canaries", o.rounds, RoundSettings(goal=o.devices, over_selection=1.0), TrainingSettings(8, 1.0),
        evaluate_every=0,
    )  # fmt: skip
    uniform = fedavg()._replace(client=replace(fedavg().client, uniform=True))
    fleet = MemoryFleet(folder, model, settings, texts, options={"algorithm": uniform, "privacy": promise})
    fleet.run()
    return Trainer(fleet.coordinator.model.file())


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--devices", type=int, default=6)
    parser.add_argument("--model", type=Path, default=ROOT / "build/fixtures/tiny.tflite")
    o = parser.parse_args()
    rng = np.random.default_rng(7)
    canaries = [draw(beginning, SPACE, 2, rng) for beginning in ("my", "of the", "in no")]
    print(f"{o.devices} devices, {o.rounds} rounds, {len(canaries)} canaries, {COPIES} copies of each on one device\n")
    print(f"| training | ε at δ = {DELTA:g} | exposure, bits (mean) | of each | loss a word on the others' text |")
    print("| --- | ---: | ---: | --- | ---: |")
    for clip, z in ((0.0, 0.0), (2.0, 0.0), (2.0, 0.1), (2.0, 0.5), (2.0, 2.0)):
        promise = PrivacySettings(gaussian(), flat(clip), z, delta=DELTA) if clip else None
        with tempfile.TemporaryDirectory() as folder:
            trainer = train(Path(folder), o.model, canaries, promise, o)
        found = [exposure(trainer, canary, 10_000, np.random.default_rng(0)) for canary in canaries]
        epsilon = f"{promise.cost([1] * o.rounds).epsilon:.3g}" if promise and z else "∞"
        words = sum(len(s.split()) for s in SENTENCES)
        useful = sum(loss(trainer, s) for s in SENTENCES) / words
        what = f"clip {clip:g}, noise multiplier {z:g}" if clip else "plain FedAvg"
        each = ", ".join(f"{bits:.1f}" for bits in found)
        print(f"| {what} | {epsilon} | {np.mean(found):.1f} | {each} | {useful:.2f} |", flush=True)


if __name__ == "__main__":
    main()
