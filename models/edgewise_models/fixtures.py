"""Tiny models for tests: `python -m edgewise_models.fixtures build/fixtures`.

Tests of the device run in environments without TensorFlow, so their models are made beforehand, from fixed seeds.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

from edgewise_models.export import export_next_word
from edgewise_models.next_word import MARKS, NextWord
from edgewise_models.next_word_reference import LEARNING_RATE, NextWordReference, proof_batches

TINY = NextWord(vocabulary=30, embedding=6, units=10, steps=5, batch=4, seed=3)
WORDS = tuple("the to you a i and see at me it is in on my are we for be so of do can not no go up".split())  # noqa: SIM905


def build(folder: Path) -> None:
    """Write `tiny.tflite`, and `tiny.npz` with what TensorFlow makes of five steps on it.

    The arrays: `tokens`, `labels`, `weight` (five batches each), `losses`, `learning_rate`, the weights after the steps
    under `after/<name>`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    export_next_word(folder / "tiny.tflite", WORDS, TINY, name="tiny")
    reference = NextWordReference(TINY)
    batches = [*proof_batches(TINY)]
    losses = [reference.train_step(batch, LEARNING_RATE)[0] for batch in batches]
    stacked = {name: np.stack([batch[name] for batch in batches]) for name in ("tokens", "labels", "weight")}
    after = {f"after/{name}": array for name, array in reference.weights().items()}
    arrays: dict[str, Any] = {"losses": losses, "learning_rate": LEARNING_RATE, **stacked, **after}
    np.savez(folder / "tiny.npz", **arrays)


if __name__ == "__main__":
    assert len(WORDS) == TINY.vocabulary - MARKS  # noqa: S101
    build(Path(sys.argv[1]))
