"""Canaries and their exposure (Carlini et al. 2019, "The Secret Sharer", §4): how much a model gives a secret away."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgewise_edge.next_word import rows
from edgewise_edge.tokenizer import WordTokenizer
from edgewise_edge.trainer import Trainer


@dataclass(frozen=True)
class Canary:
    """A sentence with a secret: a fixed beginning, then words drawn from `space`, each as likely as any other."""

    beginning: str
    secret: tuple[str, ...]
    space: tuple[str, ...]

    @property
    def text(self) -> str:
        return " ".join([self.beginning, *self.secret])

    @property
    def bits(self) -> float:
        """The exposure of a secret that the model thinks likelier than any other."""
        return len(self.secret) * math.log2(len(self.space))


def draw(beginning: str, space: Sequence[str], words: int, rng: np.random.Generator) -> Canary:
    """Return a canary with so many random words."""
    return Canary(beginning, tuple(str(w) for w in rng.choice(list(space), words)), tuple(space))


def loss(trainer: Trainer, text: str) -> float:
    """Return the log-perplexity of a sentence: the sum of −ln of its words' probabilities."""
    manifest = trainer.manifest
    found = rows([text], WordTokenizer(manifest.vocabulary), steps=manifest.steps, for_evaluation=True)
    batch = {name: np.zeros((manifest.batch, manifest.steps), array.dtype) for name, array in found._asdict().items()}
    for name, array in found._asdict().items():
        batch[name][:1] = array
    return trainer.evaluate_step(batch)["loss_sum"]


def exposure(trainer: Trainer, canary: Canary, candidates: int, rng: np.random.Generator) -> float:
    """Return log₂ |R| − log₂ rank: the rank of the secret among all that could have been drawn.

    With fewer `candidates` than there are, a random sample of them stands for the others (Carlini et al. 2019, §4.3).
    """
    count = len(canary.space) ** len(canary.secret)
    others = itertools.product(canary.space, repeat=len(canary.secret))
    if count > candidates:
        drawn = rng.choice(list(canary.space), (candidates, len(canary.secret)))
        others = (tuple(str(w) for w in row) for row in drawn)
    own = loss(trainer, canary.text)
    better = sum(
        loss(trainer, " ".join([canary.beginning, *words])) < own for words in others if words != canary.secret
    )
    return math.log2(min(count, candidates)) - math.log2(1 + better)
