"""Suggestions for the next word, from the latest model that this device downloaded."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from edgewise_edge.home import Home
from edgewise_edge.local_training import TrainerLike
from edgewise_edge.model import Latest, LatestModel
from edgewise_edge.personal import Personal
from edgewise_edge.tokenizer import START, WordTokenizer
from edgewise_edge.weights_file import read_weights
from edgewise_wire.blobs import BlobStore
from edgewise_wire.errors import ConfigError, ModelError, UnavailableError
from edgewise_wire.weights import Array, Flat, unflatten

TASK = "next-word"


class Suggestion(NamedTuple):
    """A word and how likely the model thinks it is."""

    word: str
    probability: float


class Ranking(Protocol):
    """What a next-word model's `infer` says: ids and probabilities, best first."""

    @property
    def ids(self) -> Array:
        """Word ids, int32[k]."""

    @property
    def probabilities(self) -> Array:
        """Their probabilities, float32[k]."""


class InferringTrainer(TrainerLike, Protocol):
    """A trainer that can also predict."""

    def infer(self, tokens: Array) -> Ranking:
        """Rank the words that may follow `tokens`, int32[1, T]."""


class Predictor:
    """Suggests words with one model.

    Raises:
        ModelError: if the model is not a next-word model.

    Example:
        >>> Predictor(trainer).suggest("see you")                               # doctest: +SKIP
        [Suggestion(word='at', probability=0.21), ...]
    """

    def __init__(self, trainer: InferringTrainer) -> None:
        if trainer.manifest.task != TASK:
            raise ModelError(f"model task {trainer.manifest.task!r}: suggestions need a {TASK} model")
        self._trainer = trainer
        self._tokenizer = WordTokenizer(trainer.manifest.vocabulary)
        self._steps = trainer.manifest.steps

    @property
    def words(self) -> tuple[str, ...]:
        """Every word that it can suggest, the most frequent first."""
        return self._tokenizer.vocabulary

    def suggest(self, text: str, count: int = 3) -> list[Suggestion]:
        """Return the `count` likeliest words after `text`, likeliest first; of a long text the last words count.

        Raises:
            ConfigError: if `count` is below 1. A model may rank fewer words than are asked for.
        """
        if count < 1:
            raise ConfigError(f"number of suggestions: expected at least 1, got {count}")
        ids = [START, *self._tokenizer.encode(text)[-(self._steps - 1) :]] if self._steps > 1 else [START]
        tokens = np.zeros((1, self._steps), np.int32)
        tokens[0, : len(ids)] = ids
        ranked = self._trainer.infer(tokens)
        pairs = zip(np.ravel(ranked.ids).tolist(), np.ravel(ranked.probabilities).tolist(), strict=True)
        return [Suggestion(self._tokenizer.word(token), probability) for token, probability in pairs][:count]


def open_predictor(home: Home, *, model: Path | None = None, threads: int = 1, personal: bool = False) -> Predictor:
    """Return a predictor over a model file with its own weights, or over the latest that a device downloaded.

    With `personal` the latest model has the owner's personal weights, where there are any that are better.

    Raises:
        UnavailableError: if the device has none yet.
        ModelError: if the file is no model.
    """
    if model is not None:
        return Predictor(_load(model, threads))
    latest, trainer, weights = open_latest(home, threads=threads)
    own = Personal(home).load(latest, trainer) if personal else None
    trainer.set_weights(unflatten(weights if own is None else own, trainer.manifest.weights))
    return Predictor(trainer)


def open_latest(home: Home, *, threads: int = 1) -> tuple[Latest, InferringTrainer, Flat]:
    """Return the latest model that a device downloaded: what it is, a trainer over its graph, and its weights.

    Raises:
        UnavailableError: if the device has none yet.
    """
    for _ in range(2):  # a running agent may replace the model while we read it
        latest = LatestModel(home).load()
        store = BlobStore(home.blobs)
        graph, weights = (store.get(name) for name in (latest.graph, latest.weights)) if latest else (None, None)
        if latest is not None and graph is not None and weights is not None:
            trainer = _load(graph, threads)
            return latest, trainer, read_weights(weights, trainer)
    raise UnavailableError(
        f"{home.path}: no model yet; it comes with the first round (edgewise device run), or name one with --model"
    )


def _load(path: Path, threads: int) -> InferringTrainer:
    from edgewise_edge.trainer import Trainer

    return Trainer(path, threads=threads)
