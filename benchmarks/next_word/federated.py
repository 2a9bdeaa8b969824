"""The same model trained by a fleet, each person a device, and then fine-tuned by each device for its owner alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from model import examples, recall
from split import STEPS, Split

import edgewise
from edgewise.baselines import Recall
from edgewise.simulation.data import text_data_of
from edgewise_edge.local_training import device_generator, run_to_end, train_locally
from edgewise_edge.next_word import rows
from edgewise_edge.trainer import Trainer
from edgewise_wire.artifact import Artifact
from edgewise_wire.weights import Flat, flatten

DEVICE = "person-{:03}"


@dataclass(frozen=True, slots=True)
class Federated:
    """How the fleet learns; the fields are options of `edgewise simulate`."""

    rounds: int = 200
    cohort: int = 40
    epochs: int = 1
    learning_rate: float = 2.0
    max_examples: int = 400
    algorithm: str = "fedavgm"
    server_learning_rate: float | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """The trained weights and what they cost: rounds, updates of devices, bytes down and up."""

    weights: Flat
    rounds: int
    updates: int
    bytes_down: int
    bytes_up: int
    history: list[dict[str, Any]]


def train(
    model: Path, split: Split, how: Federated, seed: int, folder: Path, workers: int | None, say: Callable[[str], None]
) -> Outcome:
    """Return what the simulated fleet comes to; goes on with what `folder` holds. Rounds measure on validation text."""
    manifest = Artifact.load(model).manifest
    names = {person: DEVICE.format(number) for number, person in enumerate(sorted(split.train))}
    train_texts = {names[person]: texts for person, texts in split.train.items()}
    validation = {names[person]: texts for person, texts in split.validation.items()}

    def told(row: Mapping[str, Any]) -> None:
        if row.get("top1") is not None:
            say(f"federated, seed {seed}, round {row['round']}: top-1 {100 * row['top1']:.2f} % on validation text")

    options = {key: value for key, value in dataclasses.asdict(how).items() if value is not None}
    result = edgewise.simulate(
        model, text_data_of(train_texts, validation, manifest), directory=folder, workers=workers,
        resume=(folder / "simulation.json").exists(), on_round=told, seed=seed, evaluate_every=10, **options,
    )  # fmt: skip
    done = [row for row in result.history if row["round"] and row["phase"] == "committed"]
    return Outcome(
        flatten(result.weights, manifest.weights), len(done), sum(row["reported"] for row in done),
        sum(row["bytes_down"] for row in done), sum(row["bytes_up"] for row in done), result.history,
    )  # fmt: skip


def personalised(model: Path, split: Split, weights: Flat, *, epochs: int, learning_rate: float, seed: int) -> Recall:
    """Return recall over everybody's test text, each with their own weights where validation text says they are better.

    It is what a device does (`edgewise_edge.personal`): train on one's own, keep it only if it is better.
    """
    trainer = Trainer(model)
    hits = np.zeros(3, np.int64)
    for person in split.test:
        train_rows, validation, test = (
            rows(part[person], split.tokenizer, steps=STEPS, for_evaluation=measuring)
            for part, measuring in ((split.train, False), (split.validation, True), (split.test, True))
        )
        chosen = weights
        if len(train_rows.tokens) and len(validation.tokens):
            work = train_locally(
                trainer, weights, examples(train_rows), epochs=epochs, learning_rate=learning_rate, max_examples=0,
                rng=device_generator(seed, 0, person),
            )  # fmt: skip
            own = weights + run_to_end(work).update
            if recall(trainer, own, validation).top1 > recall(trainer, weights, validation).top1:
                chosen = own
        found = recall(trainer, chosen, test)
        hits += [found.words, found.top1_hits, found.top3_hits]
    return Recall(*(int(number) for number in hits))
