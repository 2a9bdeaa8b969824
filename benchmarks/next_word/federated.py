"""The same model trained by a fleet, each person a device, and then fine-tuned by each device for its owner alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from model import recall
from split import Split

import edgewise
from edgewise.baselines import Recall
from edgewise.simulation.data import ArrayData, text_data_of
from edgewise_edge.local_training import device_generator, run_to_end, train_locally
from edgewise_edge.next_word import examples_for, rows
from edgewise_edge.trainer import Trainer
from edgewise_wire.artifact import Artifact
from edgewise_wire.weights import Flat, flatten

DEVICE = "person-{:03}"
COOLING = (0.5, 0.2, 0.08)  # of the server's rate, an eighth of the rounds each, at the end
COSTS = ("rounds", "updates", "bytes_down", "bytes_up")


@dataclass(frozen=True, slots=True)
class Federated:
    """How the fleet learns; the fields are options of `edgewise simulate`, the server's rate that of the beginning."""

    rounds: int = 600
    cohort: int = 20
    epochs: int = 1
    learning_rate: float = 2.0
    max_examples: int = 600
    selection: str = "uniform"
    weighting: str = "examples"
    algorithm: str = "fedadam"
    server_learning_rate: float = 0.01
    adaptivity: float = 1e-4

    def stages(self) -> Iterator[dict[str, Any]]:
        """Yield the options of one simulation after the other: each begins with the last one's weights."""
        short = self.rounds // 8
        for number, factor in enumerate((1.0, *COOLING)):
            count = short if number else self.rounds - len(COOLING) * short
            adaptive = {"adaptivity": self.adaptivity} if self.algorithm in ("fedadam", "fedyogi", "fedadagrad") else {}
            if count:
                yield {
                    "rounds": count, "cohort": self.cohort, "epochs": self.epochs,
                    "learning_rate": self.learning_rate, "max_examples": self.max_examples,
                    "selection": self.selection, "weighting": self.weighting,
                    "algorithm": self.algorithm, "server_learning_rate": factor * self.server_learning_rate, **adaptive,
                }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Outcome:
    """The trained weights, recall on validation text by round, and what they cost (`COSTS`)."""

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
    data, specs = data_of(split, model), Artifact.load(model).manifest.weights
    curve: list[dict[str, float]] = []
    costs = dict.fromkeys(COSTS, 0)
    result: Any = None
    for number, options in enumerate(how.stages()):
        place, before = folder / f"stage-{number}", costs["rounds"]
        engine, resume = "local" if workers != 0 else "inline", (place / "simulation.json").exists()

        def told(row: Any, before: int = before) -> None:
            if row.get("top1") is not None:
                say(f"federated, seed {seed}, round {before + row['round']}: top-1 {100 * row['top1']:.2f} %, "
                    f"top-3 {100 * row['top3']:.2f} % on validation text")  # fmt: skip

        result = edgewise.simulate(
            model, data, directory=place, workers=workers or None, engine=engine, resume=resume, on_round=told,
            seed=1000 * seed + number, evaluate_every=50, **options,
        )  # fmt: skip
        _add(result.history, curve, costs)
        model = place / "model.tflite"
    return Outcome(flatten(result.weights, specs), curve, costs)


def _add(history: list[dict[str, Any]], curve: list[dict[str, float]], costs: dict[str, int]) -> None:
    """Add a stage's rounds; those before it count on."""
    before = costs["rounds"]
    curve += [
        {"round": before + row["version"], "top1": row["top1"], "top3": row["top3"]}
        for row in history
        if row.get("top1") is not None and (row["version"] or not before)
    ]
    done = [row for row in history if row["round"] and row["phase"] == "committed"]
    costs["rounds"] += len(done)
    for name, key in (("updates", "reported"), ("bytes_down", "bytes_down"), ("bytes_up", "bytes_up")):
        costs[name] += sum(row[key] for row in done)


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
