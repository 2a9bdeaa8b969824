"""The same model trained centrally: one device that holds everybody's messages, through the very trainer of devices."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from model import examples, recall
from split import Split

from edgewise.baselines import Recall
from edgewise_edge.local_training import device_generator, run_to_end, train_locally
from edgewise_edge.next_word import Rows
from edgewise_edge.trainer import Trainer
from edgewise_wire.weights import Flat, flatten, from_bytes, parameters, to_bytes


@dataclass(frozen=True, slots=True)
class Central:
    """Epochs of SGD; the rate falls along half a cosine from `learning_rate` to a hundredth of it."""

    epochs: int = 12
    learning_rate: float = 4.0

    def rate(self, epoch: int) -> float:
        """Return the learning rate of an epoch, from 0."""
        share = 0.5 * (1 + math.cos(math.pi * epoch / max(self.epochs - 1, 1)))
        return self.learning_rate * (0.01 + 0.99 * share)


def train(
    model: Path, rows: Rows, split: Split, central: Central, seed: int, folder: Path, say: Callable[[str], None]
) -> Flat:
    """Return the weights of the epoch that did best on the validation part; goes on with what `folder` holds.

    A line an epoch is appended to `folder/epochs.jsonl`; `folder/last` and `folder/best` are weights.
    """
    folder.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(model)
    specs = trainer.manifest.weights
    history = _history(folder)
    size = parameters(specs)
    last = from_bytes((folder / "last").read_bytes(), size) if history else flatten(trainer.get_weights(), specs)
    measured = split.rows(split.validation, for_evaluation=True)
    found = examples(rows)
    for epoch in range(len(history), central.epochs):
        work = train_locally(
            trainer, last, found, epochs=1, learning_rate=central.rate(epoch), max_examples=0,
            rng=device_generator(seed, epoch, "central"),
        )  # fmt: skip
        local = run_to_end(work)
        last = last + local.update
        validation = recall(trainer, last, measured)
        if not history or validation.top1 > max(one["top1"] for one in history):
            (folder / "best").write_bytes(to_bytes(last))
        (folder / "last").write_bytes(to_bytes(last))
        history.append({"epoch": epoch, "loss": local.loss, "top1": validation.top1, "top3": validation.top3})
        with (folder / "epochs.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(history[-1] | asdict(central)) + "\n")
        say(f"central, seed {seed}, epoch {epoch + 1} of {central.epochs}: loss {local.loss:.3f}, {told(validation)}")
    return from_bytes((folder / "best").read_bytes(), size)


def some_rows(rows: Rows, share: float, seed: int) -> Rows:
    """Return a random share of the rows: the amount of text that a curve is drawn over."""
    if share >= 1:
        return rows
    chosen = np.sort(np.random.default_rng([seed, 7]).permutation(len(rows.tokens))[: round(share * len(rows.tokens))])
    return Rows(*(array[chosen] for array in rows))


def told(found: Recall) -> str:
    """Return recall in words."""
    return f"top-1 {100 * found.top1:.2f} %, top-3 {100 * found.top3:.2f} %"


def _history(folder: Path) -> list[dict[str, float]]:
    path = folder / "epochs.jsonl"
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []
