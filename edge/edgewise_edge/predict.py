"""Suggestions for the next word, from the latest model that this device downloaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from edgewise_edge.home import Home
from edgewise_edge.host import TEXT_TASK
from edgewise_edge.local_training import TrainerLike
from edgewise_edge.model import Latest, LatestModel
from edgewise_edge.personal import Personal
from edgewise_edge.tokenizer import START, WordTokenizer
from edgewise_edge.weights_file import read_weights
from edgewise_wire.blobs import BlobStore
from edgewise_wire.errors import ConfigError, ModelError, UnavailableError
from edgewise_wire.manifest import TensorSpec
from edgewise_wire.weights import Array, Flat, unflatten


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

    @property
    def inference_inputs(self) -> Sequence[TensorSpec]:
        """What `infer` takes."""

    def infer(self, *inputs: Array, **named: Array) -> Any:
        """Return what an app shows; of a next-word model a `Ranking` of the words that may follow int32[1, T]."""


class Predictor:
    """Suggests words with one model.

    Raises:
        ModelError: if the model is not a next-word model.

    Example:
        >>> Predictor(trainer).suggest("see you")                               # doctest: +SKIP
        [Suggestion(word='at', probability=0.21), ...]
    """

    def __init__(self, trainer: InferringTrainer) -> None:
        if trainer.manifest.task != TEXT_TASK:
            raise ModelError(f"model task {trainer.manifest.task!r}: suggestions need a {TEXT_TASK} model")
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
        ranked: Ranking = self._trainer.infer(tokens)
        pairs = zip(np.ravel(ranked.ids).tolist(), np.ravel(ranked.probabilities).tolist(), strict=True)
        return [Suggestion(self._tokenizer.word(token), probability) for token, probability in pairs][:count]


def open_model(home: Home, *, model: Path | None = None, threads: int = 1, personal: bool = False) -> InferringTrainer:
    """Return a model file with its own weights, or the latest that a device downloaded, ready for `infer`.

    With `personal` the latest model has the owner's personal weights, where there are any that are better.

    Raises:
        UnavailableError: if the device has none yet.
        ModelError: if the file is no model.
    """
    if model is not None:
        return _load(model, threads)
    latest, trainer, weights = open_latest(home, threads=threads)
    own = Personal(home).load(latest, trainer) if personal else None
    trainer.set_weights(unflatten(weights if own is None else own, trainer.manifest.weights))
    return trainer


def open_predictor(home: Home, *, model: Path | None = None, threads: int = 1, personal: bool = False) -> Predictor:
    """Return a predictor over what `open_model` finds.

    Raises:
        UnavailableError, ModelError: as `open_model`; if it is no next-word model.
    """
    return Predictor(open_model(home, model=model, threads=threads, personal=personal))


def outputs(trainer: InferringTrainer, text: str) -> Mapping[str, Array]:
    """Return what a model makes of a record, by the names of its outputs; each with a first axis of one.

    Raises:
        DataError: if the text is no record, or one that the model cannot take.

    Example:
        >>> outputs(trainer, '{"features": [5.1, 3.5, 1.4, 0.2]}')                            # doctest: +SKIP
        {'output': array([[4.2, 0.1, -2.2]], dtype=float32)}
    """
    from edgewise_edge.records import one_input, parse_record

    found: Mapping[str, Array] = trainer.infer(**one_input(parse_record(text), trainer.inference_inputs))
    return found


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
