"""The same model trained by a fleet, each person a device, and then fine-tuned by each device for its owner alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from model import recall
from split import Split

import edgewise
from edgewise.baselines import Recall
from edgewise.simulation.compare import SERVER_SETTINGS
from edgewise.simulation.data import ArrayData, text_data_of
from edgewise.simulation.run import begun
from edgewise_edge.local_training import device_generator, run_to_end, train_locally
from edgewise_edge.next_word import examples_for, rows
from edgewise_edge.trainer import Trainer
from edgewise_wire.artifact import Artifact
from edgewise_wire.weights import Flat, flatten

DEVICE = "person-{:03}"
ADAPTIVE = ("fedadam", "fedyogi", "fedadagrad")
MEASURED = 16  # times, on the way
COSTS = {"updates": "reported", "bytes_down": "bytes_down", "bytes_up": "bytes_up"}  # to a row's own names


@dataclass(frozen=True, slots=True)
class Federated:
    """How the fleet learns; the fields are options of `edgewise simulate`."""

    rounds: int = 8000
    cohort: int = 4
    epochs: int = 1
    learning_rate: float = 2.0
    max_examples: int = 10
    selection: str = "by-size"
    weighting: str = "uniform"
    algorithm: str = "fedadam"
    server_learning_rate: float = 0.0065
    server_annealing: float = 8000.0
    server_halving: float = 0.0
    server_weight_decay: float = 0.0007
    adaptivity: float = 1e-6

    def options(self) -> dict[str, Any]:
        """Return them by name, without those that the algorithm does not have, and what is 0 and means not at all."""
        without = [] if self.algorithm in ADAPTIVE else ["adaptivity"]
        without += [name for name in SERVER_SETTINGS if not getattr(self, name)]
        return {name: value for name, value in asdict(self).items() if name not in without}


@dataclass(frozen=True, slots=True)
class Outcome:
    """The trained weights, recall on validation text by round, what they cost: rounds and `COSTS`."""

    weights: Flat
    curve: list[dict[str, float]]
    costs: dict[str, int]


def data_of(split: Split, model: Path) -> ArrayData:
    """Return what the fleet holds: a device for each person; rounds measure on validation text."""
    names = {person: DEVICE.format(number) for number, person in enumerate(sorted(split.train))}
    train = {names[person]: texts for person, texts in split.train.items()}
    validation = {names[person]: texts for person, texts in split.validation.items()}
    return text_data_of(train, validation, Artifact.load(model).manifest)


def train(
    model: Path, split: Split, how: Federated, seed: int, folder: Path, workers: int | None, say: Callable[[str], None]
) -> Outcome:
    """Return what the simulated fleet comes to; goes on with what `folder` holds."""

    def told(row: Any) -> None:
        if row.get("top1") is not None:
            say(f"federated, seed {seed}, round {row['round']}: top-1 {100 * row['top1']:.2f} %, "
                f"top-3 {100 * row['top3']:.2f} % on validation text")  # fmt: skip

    result = edgewise.simulate(
        model, data_of(split, model), directory=folder, workers=workers, resume=begun(folder), on_round=told,
        seed=seed, evaluate_every=max(1, how.rounds // MEASURED), **how.options(),
    )  # fmt: skip
    curve = [
        {"round": row["version"], "top1": row["top1"], "top3": row["top3"]}
        for row in result.history
        if row.get("top1") is not None
    ]
    done = [row for row in result.history if row["round"] and row["phase"] == "committed"]
    costs = {name: sum(row[key] for row in done) for name, key in COSTS.items()}
    return Outcome(
        flatten(result.weights, Artifact.load(model).manifest.weights), curve, {"rounds": len(done), **costs}
    )


def personalised(model: Path, split: Split, weights: Flat, *, epochs: int, learning_rate: float, seed: int) -> Recall:
    """Return recall over everybody's test text, each with their own weights where validation text says they are better.

    It is what a device does (`edgewise_edge.personal`): train on one's own, keep it only if it is better.
    """
    trainer = Trainer(model)
    hits = np.zeros(3, np.int64)
    for person in split.test:
        train_rows, validation, test = (
            rows(part[person], split.tokenizer, steps=split.steps, for_evaluation=measuring)
            for part, measuring in ((split.train, False), (split.validation, True), (split.test, True))
        )
        chosen = weights
        if len(train_rows.tokens) and len(validation.tokens):
            work = train_locally(
                trainer, weights, examples_for(train_rows._asdict(), trainer.manifest), epochs=epochs,
                learning_rate=learning_rate, max_examples=0, rng=device_generator(seed, 0, person),
            )  # fmt: skip
            own = weights + run_to_end(work).update
            if recall(trainer, own, validation).top1 > recall(trainer, weights, validation).top1:
                chosen = own
        found = recall(trainer, chosen, test)
        hits += [found.words, found.top1_hits, found.top3_hits]
    return Recall(*(int(number) for number in hits))
