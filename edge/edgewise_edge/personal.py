"""Personal fine-tuning: the latest model, trained a little further on its owner's own text. None of it leaves.

    personal/weights     float32[parameters], only where they are better than the model they began from (`learned.py`)
    personal/note.json   which model that was, on how much text, and recall before and after on held-out text

The personal weights are used only if they rank more of the owner's held-out words first than the model did (Wang et al.
2019, §3: personalization is kept where it helps). `edgewise device forget` removes them together with examples.
"""

from __future__ import annotations

import contextlib
import json
import math
import shutil
from dataclasses import asdict, dataclass

import numpy as np

from edgewise_edge.home import Home, read_json
from edgewise_edge.learned import Learned
from edgewise_edge.local_training import Examples, TrainerLike, evaluate_locally, run_to_end, train_locally
from edgewise_edge.model import Latest
from edgewise_wire.errors import DataError, UnavailableError
from edgewise_wire.files import write_durably
from edgewise_wire.weights import Flat, parameters

FOLDER = "personal"
EPOCHS = 3
LEARNING_RATE = 0.5
GROWN = 1.1  # so many times the examples it was trained on: worth training again


@dataclass(frozen=True, slots=True)
class Note:
    """What a fine-tuning did: recall is the share of held-out words that were ranked first, or among the first three.

    `base` is the hash of the weights that it began from, `kept` whether its weights are used.
    """

    base: str
    train_examples: int
    held_out_examples: int
    top1_before: float
    top3_before: float
    top1_after: float
    top3_after: float
    kept: bool

    @property
    def gain(self) -> float:
        """By how much recall at one grew."""
        return self.top1_after - self.top1_before


class Personal:
    """The personal weights in a device's folder."""

    def __init__(self, home: Home) -> None:
        self._folder = home.path / FOLDER
        self._files = Learned(home)
        self._weights = self._folder / "weights"
        self._note = self._folder / "note.json"

    def note(self) -> Note | None:
        """Return what the last fine-tuning did, `None` if there was none."""
        try:
            return Note(**read_json(self._note))
        except TypeError:
            return None

    def is_fresh(self, latest: Latest, train_examples: int) -> bool:
        """Return whether fine-tuning again would hardly change anything: the same model, about the same text."""
        note = self.note()
        return note is not None and note.base == latest.weights.hex() and train_examples < GROWN * note.train_examples

    def load(self, latest: Latest, trainer: TrainerLike) -> Flat | None:
        """Return the personal weights of this very model, `None` if there are none that are better.

        Raises:
            DataError: if they have changed on the disk.
            UnavailableError, ConfigError: naming the key, if the examples are encrypted and it cannot be used.
        """
        note = self.note()
        if note is None or not note.kept or note.base != latest.weights.hex() or not self._weights.exists():
            return None
        found = self._files.read(self._weights, parameters(trainer.manifest.weights))
        if found is None or not np.isfinite(found).all():
            raise DataError(f"{self._weights}: not this model's personal weights any more; remove {self._folder}")
        return found

    def tune(
        self, latest: Latest, trainer: TrainerLike, weights: Flat, train: Examples, held_out: Examples,
        *, rng: np.random.Generator, epochs: int = EPOCHS, learning_rate: float = LEARNING_RATE,
    ) -> Note:  # fmt: skip
        """Fine-tune on `train`, measure on `held_out`, keep the weights if they are better.

        Raises:
            DataError: if there is nothing to train on, or nothing to measure with.
            RunError: if training diverges; then nothing has changed.
            UnavailableError: if the disk is full.
        """
        if not len(train) or not len(held_out):
            raise DataError(
                f"personal fine-tuning: {len(train)} examples to train on and {len(held_out)} held out; "
                "it needs some of both (every fifth example is held out)"
            )
        before = _recall(trainer, weights, held_out)
        work = train_locally(
            trainer, weights, train, epochs=epochs, learning_rate=learning_rate, max_examples=0, rng=rng
        )
        own = weights + run_to_end(work).update
        after = _recall(trainer, own, held_out)
        note = Note(latest.weights.hex(), len(train), len(held_out), *before, *after, kept=after[0] > before[0])
        self._save(note, own)
        return note

    def forget(self) -> None:
        """Remove it all: the weights were learned from the owner's text."""
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self._folder)

    def _save(self, note: Note, own: Flat) -> None:
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._note.unlink(missing_ok=True)  # without a note the weights mean nothing, and a crash leaves none
            self._weights.unlink(missing_ok=True)
        except OSError as error:
            raise UnavailableError(f"{self._folder}: cannot be written ({error.strerror})") from error
        if note.kept:
            self._files.write(self._weights, own)
        write_durably(self._note, json.dumps(asdict(note)).encode() + b"\n")


def _recall(trainer: TrainerLike, weights: Flat, examples: Examples) -> tuple[float, float]:
    """Return recall at one and at three."""
    sums = run_to_end(evaluate_locally(trainer, weights, examples)).sums
    counted = sums.get("weight_sum", 0.0)
    if not (counted and "top1" in sums and math.isfinite(counted)):
        raise DataError("personal fine-tuning: this model does not measure recall on the held-out examples")
    return sums["top1"] / counted, sums.get("top3", sums["top1"]) / counted
