"""The 1.42 M-parameter CIFG with this split's vocabulary, and how it is measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from split import Split

from edgewise.baselines import Recall
from edgewise_edge.local_training import evaluate_locally, run_to_end
from edgewise_edge.next_word import Rows, examples_for
from edgewise_edge.trainer import Trainer
from edgewise_wire.weights import Flat


def export(split: Split, path: Path, *, seed: int, embedding: int, units: int, word_dropout: float) -> Path:
    """Write the model with `seed`'s initial weights to `path`, unless it is there; messages share its rows."""
    if not path.exists():
        from edgewise_models.export import export_next_word  # TensorFlow, which nothing else here needs
        from edgewise_models.next_word import MARKS, NextWord

        words = list(split.tokenizer.vocabulary)
        config = NextWord(
            vocabulary=MARKS + len(words), embedding=embedding, units=units, steps=split.steps, seed=seed,
            clip_norm=1.0, corrected=False, word_dropout=word_dropout,
        )  # fmt: skip
        export_next_word(path, words, config)
    return path


def recall(trainer: Trainer, weights: Flat, found: Rows) -> Recall:
    """Return the recall of some weights over every word position of some rows."""
    examples = examples_for(found._asdict(), trainer.manifest)
    sums = run_to_end(evaluate_locally(trainer, weights, examples)).sums
    return Recall(int(np.count_nonzero(found.weight)), round(sums["top1"]), round(sums["top3"]))
