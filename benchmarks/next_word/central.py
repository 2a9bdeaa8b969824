"""The same model trained on a server that has everybody's messages: AdamW on the gradients of the same `.tflite`."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from adamw import AdamW
from model import recall
from split import Split

from edgewise.baselines import Recall
from edgewise_edge.local_training import Batch, device_generator
from edgewise_edge.next_word import Rows, examples_for
from edgewise_edge.trainer import Trainer
from edgewise_wire.weights import Array, Flat, Weights, flatten, unflatten

PROBE = 64.0  # the rate of the step that tells a gradient: so large that float32 weights do not round it away
SAVED_STEPS = 500  # what a killed run has to do again at the most


@dataclass(frozen=True, slots=True)
class Central:
    """Epochs of AdamW; the rate climbs to `learning_rate` over the share `warm_up` of all steps, then falls to zero."""

    epochs: int = 12
    learning_rate: float = 3e-3
    weight_decay: float = 0.05
    warm_up: float = 0.03

    def rate(self, done: float) -> float:
        """Return the learning rate after the share `done` of all steps."""
        return self.learning_rate * min(done / self.warm_up if self.warm_up else 1.0, (1 - done) / (1 - self.warm_up))


class Run:
    """One training run in its folder: `state.npz` to go on from, and `best.npy`."""

    def __init__(self, model: Path, rows: Rows, central: Central, seed: int, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.trainer, self.rows, self.central, self.seed, self.folder = Trainer(model), rows, central, seed, folder
        self.weights = flatten(self.trainer.get_weights(), self.trainer.manifest.weights)
        self.optimizer = AdamW.fresh(len(self.weights), central.weight_decay)
        self.epoch = self.at = 0
        self.history: list[dict[str, Any]] = []
        self._load()

    def train(self, split: Split, say: Callable[[str], None]) -> tuple[Flat, list[dict[str, Any]]]:
        """Go on to the last epoch; return the weights of the one that did best on validation text, and all epochs."""
        measured = split.rows(split.validation, for_evaluation=True)
        if self.epoch < self.central.epochs:
            messages, steps = len(self.rows.tokens), len(self._batches()[0])
            say(f"central, seed {self.seed}: {messages:,} messages in {steps:,} steps an epoch")
        while self.epoch < self.central.epochs:
            loss = self._epoch()
            found = recall(self.trainer, self.weights, measured)
            if not self.history or found.top1 > max(one["top1"] for one in self.history):
                np.save(self.folder / "best.npy", self.weights)
            self.history.append({"epoch": self.epoch + 1, "loss": loss, "top1": found.top1, "top3": found.top3})
            self.epoch, self.at = self.epoch + 1, 0
            self._save()
            done = f"epoch {self.epoch} of {self.central.epochs}"
            say(f"central, seed {self.seed}, {done}: loss {loss:.3f}, {told(found)}")
        best: Flat = np.load(self.folder / "best.npy")
        return best, self.history

    def _epoch(self) -> float:
        """Take the epoch's steps from `at` on; return the mean loss of those taken now."""
        batches, seeds = self._batches()
        loss_sum = weight_sum = 0.0
        for number, (batch, seed) in enumerate(zip(batches, seeds, strict=True)):
            if number < self.at:
                continue
            loss, weight = self._step(batch, seed, (self.epoch + number / len(batches)) / self.central.epochs)
            loss_sum, weight_sum = loss_sum + loss * weight, weight_sum + weight
            self.at = number + 1
            if self.at % SAVED_STEPS == 0:
                self._save()
        return loss_sum / max(weight_sum, 1.0)

    def _batches(self) -> tuple[list[Batch], list[int]]:
        """Return the epoch's batches, and a seed for what is random in each step: a function of the seed and epoch."""
        rng = device_generator(self.seed, self.epoch, "central")
        examples = examples_for(self.rows._asdict(), self.trainer.manifest)
        batches = list(examples.batches(rng.permutation(len(examples))))
        return batches, rng.integers(1 << 31, size=len(batches)).tolist()

    def _step(self, batch: Batch, seed: int, done: float) -> tuple[float, float]:
        specs = self.trainer.manifest.weights
        self.trainer.set_weights(unflatten(self.weights, specs))
        step = self.trainer.train_step(batch, PROBE, seed=seed)
        gradient = told_gradient(self.weights, self.trainer.get_weights(), unflatten(self.weights, specs))
        self.optimizer.step(self.weights, gradient, self.central.rate(done))
        return step.loss, step.weight_sum

    def _save(self) -> None:
        new = self.folder / "state.new.npz"
        np.savez(
            new, weights=self.weights, m=self.optimizer.m, v=self.optimizer.v,
            numbers=np.array([self.epoch, self.at, self.optimizer.steps]), history=np.array(json.dumps(self.history)),
        )  # fmt: skip
        new.replace(self.folder / "state.npz")

    def _load(self) -> None:
        path = self.folder / "state.npz"
        if path.exists():
            with np.load(path) as found:
                self.weights, self.optimizer.m, self.optimizer.v = (found[name] for name in ("weights", "m", "v"))
                self.epoch, self.at, self.optimizer.steps = (int(number) for number in found["numbers"])
                self.history = json.loads(str(found["history"]))


def told_gradient(before: Flat, after: Weights, shaped: dict[str, Array]) -> Flat:
    """Return the gradient of which a step of rate `PROBE` led from `before` (`shaped` by name) to `after`."""
    gradient = np.empty_like(before)
    at = 0
    for name, own in shaped.items():
        part = gradient[at : at + own.size]
        np.subtract(own.reshape(-1), after[name].reshape(-1), out=part)
        part *= np.float32(1 / PROBE)
        at += own.size
    return gradient


def train(
    model: Path, rows: Rows, split: Split, central: Central, seed: int, folder: Path, say: Callable[[str], None]
) -> tuple[Flat, list[dict[str, Any]]]:
    """Return what `Run.train` does; goes on with what `folder` holds."""
    return Run(model, rows, central, seed, folder).train(split, say)


def some_rows(rows: Rows, share: float, seed: int) -> Rows:
    """Return a random share of the rows: the amount of text that a curve is drawn over."""
    if share >= 1:
        return rows
    chosen = np.sort(np.random.default_rng([seed, 7]).permutation(len(rows.tokens))[: round(share * len(rows.tokens))])
    return Rows(*(array[chosen] for array in rows))


def told(found: Recall) -> str:
    """Return recall in words."""
    return f"top-1 {100 * found.top1:.2f} %, top-3 {100 * found.top3:.2f} %"
