"""Gboard's next-word model (Hard et al. 2018, "Federated Learning for Mobile Keyboard Prediction", §3).

A CIFG-LSTM (coupled input and forget gates: i = 1 - f, Greff et al. 2017) with a recurrent projection, whose input
embedding is shared with the output layer. This module holds its sizes, its weights and its signatures; the step itself
is laid out in `cifg.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgewise_edge.tokenizer import START, UNKNOWN
from edgewise_models import cifg
from edgewise_models.lowering.player import Player
from edgewise_models.lowering.rules.random import uniform
from edgewise_models.tensorflow import tf
from edgewise_models.writer import Facts, Weight
from edgewise_wire.errors import ConfigError, DataError
from edgewise_wire.manifest import Variant
from edgewise_wire.weights import Array, WeightSpec

TASK = "next-word"
TOKENIZER = "words-1"  # edgewise_edge.tokenizer.WordTokenizer
MARKS = 4  # padding, unknown word, start mark, end mark: never ranked
SUGGESTIONS = 5
INITIAL_RANGE = 4.0  # of the embedding, over √D: on 10,500 real messages one epoch gives twice the recall of 0.05
INITIAL_MOST = 0.6
SPARE_BIAS = -1e4  # exp of it is 0 in float32, so the bias has no gradient and stays; float16 holds it too
LEAST_POSITIONS = 64  # below, a step takes so little time that another graph is not worth its bytes


@dataclass(frozen=True, slots=True)
class NextWord:
    """Sizes and settings of the model; the defaults are Gboard's, 1,422,250 parameters.

    `batch` counts rows of `steps` places, which short messages share: 8 rows of 20 hold some 15 real messages, and a
    round learns as much as with 16 messages in rows of their own (`benchmarks/packing.py`). `vocabulary` is V, the four
    marks included; `clip_norm` bounds the gradient's L2 norm in each training step, `None` for plain SGD: with 1 the
    model takes learning rates of 4 and more, without it 2 may diverge. `buckets` and `low_memory` change time and
    memory only: see `train_variants` and `cifg.Layout`. `corrected` adds `train_corrected` and `set_offset`, which
    FedAvg never calls: 100 KB of file, 3 MB of memory. `spare` of the V ids stand behind the words and mean nothing
    yet; their output bias keeps them out of every ranking and of the loss.

    `word_dropout` is the share of the words that a training step reads as the unknown word, drawn anew in each step
    from its seed; what it has to tell stays, and so does all evaluation (Bowman et al. 2016, §3.1; Xie et al. 2017,
    §3.1, take it for smoothing). It is part of the file, so every device and every runtime trains with it. Where a
    fleet passes over its text many times, 0.25 keeps the model from learning the text by heart.

    Raises:
        ConfigError: if a size is out of its range.
    """

    vocabulary: int = 10_000
    embedding: int = 96
    units: int = 670
    steps: int = 20
    batch: int = 8
    seed: int = 0
    clip_norm: float | None = None
    buckets: bool = False
    low_memory: bool = False
    corrected: bool = True
    word_dropout: float = 0.0
    spare: int = 0

    def __post_init__(self) -> None:
        least = {"vocabulary": MARKS + 3, "embedding": 1, "units": 1, "steps": 2, "batch": 1, "seed": 0}
        for name, bound in least.items():
            if getattr(self, name) < bound:
                raise ConfigError(f"{name.replace('_', ' ')}: expected {bound} or more, got {getattr(self, name)}")
        if not 0 <= self.spare <= self.vocabulary - MARKS - 3:
            raise ConfigError(f"spare ids: expected 0 to {self.vocabulary - MARKS - 3}, got {self.spare}")
        if not 0 <= self.word_dropout < 1:
            raise ConfigError(f"word dropout: expected 0 to 1 (not included), got {self.word_dropout}")
        if self.clip_norm is not None and not self.clip_norm > 0:
            raise ConfigError(f"clip norm: expected more than 0, got {self.clip_norm}")

    @property
    def used(self) -> int:
        """The ids that texts have: marks and words."""
        return self.vocabulary - self.spare

    @property
    def specs(self) -> tuple[WeightSpec, ...]:
        """The weights in the order in which they travel."""
        v, d, h = self.vocabulary, self.embedding, self.units
        shapes = {
            "embedding": (v, d),
            "output_bias": (v,),
            "lstm_kernel": (2 * d, 3 * h),
            "lstm_bias": (3 * h,),
            "projection": (h, d),
        }
        return tuple(WeightSpec(name, shape) for name, shape in shapes.items())

    @property
    def train_variants(self) -> tuple[Variant, ...]:
        """The signatures for batches with few words, by steps and positions with a label.

        None unless asked for: messages share rows, so that all batches of an epoch but the last are full, and each
        signature costs a device 20 to 26 MB more at full size once it was used. `buckets` adds two, for devices whose
        text does not fill a batch.
        """
        positions = self.batch * self.steps
        if not self.buckets or self.low_memory or positions < LEAST_POSITIONS:
            return ()
        return tuple(Variant(f"train_{rows}", self.steps, rows) for rows in (positions // 4, positions // 2))

    @property
    def layout(self) -> cifg.Layout:
        """How the training step is laid out."""
        return cifg.Layout(adjoint=self.low_memory)

    def initial_weights(self) -> dict[str, Array]:
        """Return float32 weights drawn from `seed`: uniform, biases zero but 1 for the forget gate."""
        rng = np.random.default_rng(self.seed)
        weights = {}
        for spec in self.specs:
            if len(spec.shape) == 1:
                weights[spec.name] = np.zeros(spec.shape, np.float32)
            else:
                shared = min(INITIAL_MOST, INITIAL_RANGE / np.sqrt(self.embedding))
                bound = shared if spec.name == "embedding" else np.sqrt(6.0 / sum(spec.shape))  # Glorot and Bengio 2010
                weights[spec.name] = rng.uniform(-bound, bound, spec.shape).astype(np.float32)
        weights["output_bias"][self.used :] = SPARE_BIAS
        weights["lstm_bias"][: self.units] = 1.0  # the gates stand in the order forget, candidate, output
        return weights


class NextWordModule:
    """The model's variables and signatures, ready for `writer.write_artifact`."""

    def __init__(self, config: NextWord) -> None:
        self.config = config
        initial = config.initial_weights()
        self.weights = [Weight(spec.name, tf.Variable(initial[spec.name], name=spec.name)) for spec in config.specs]
        self.offsets = [
            Weight(spec.name, tf.Variable(np.zeros(spec.shape, np.float32), name=f"{spec.name}_offset"))
            for spec in config.specs
            if config.corrected
        ]

    def functions(self) -> dict[str, Any]:
        """Return the concrete functions of `train`, `evaluate` and `infer`."""
        config = self.config
        trains = {
            variant.signature: self._train_variant(variant.steps, variant.rows) for variant in config.train_variants
        }
        corrected = {}
        if config.corrected:
            mu = tf.TensorSpec((), tf.float32, name="mu")
            function = self._train_corrected().get_concrete_function(*self._training(config.steps, mu))
            corrected = {"train_corrected": function}
        return {
            "train": self._train().get_concrete_function(*self._training(config.steps)),
            **trains,
            **corrected,
            "evaluate": self._evaluate().get_concrete_function(*self._batch(config.steps)),
            "infer": self._infer().get_concrete_function(_ids("tokens", 1, config.steps)),
        }

    def facts(self, name: str, words: Sequence[str]) -> Facts:
        """Return what the manifest says about this model with these words, whose ids begin at 4.

        Raises:
            DataError: if the words do not fill the vocabulary exactly.
        """
        expected = self.config.used - MARKS
        if len(words) != expected:
            raise DataError(f"vocabulary: expected {expected} words, got {len(words)}")
        return Facts(
            task=TASK,
            name=name,
            batch=self.config.batch,
            steps=self.config.steps,
            inputs=("tokens",),
            metrics=("top1", "top3"),
            tokenizer=TOKENIZER,
            vocabulary=tuple(words),
            seed=self.config.word_dropout > 0,
            variants=self.config.train_variants,
            packs=True,
        )

    def _train_variant(self, steps: int, rows: int) -> Any:
        return self._train(rows).get_concrete_function(*self._training(steps))

    def _batch(self, steps: int) -> list[Any]:
        batch = self.config.batch
        weight = tf.TensorSpec((batch, steps), tf.float32, name="weight")
        return [_ids("tokens", batch, steps), _ids("labels", batch, steps), weight]

    def _training(self, steps: int, *further: Any) -> list[Any]:
        """Return what a training step takes; the seed is left out where nothing is drawn."""
        rate = tf.TensorSpec((), tf.float32, name="learning_rate")
        seed = [tf.TensorSpec((), tf.int32, name="seed")] if self.config.word_dropout else []
        return [*self._batch(steps), rate, *further, *seed]

    def _parameters(self) -> cifg.Parameters:
        return cifg.Parameters(*(weight.variable.read_value() for weight in self.weights))

    def _train(self, rows: int | None = None) -> Any:
        def train(tokens: Any, labels: Any, weight: Any, learning_rate: Any, seed: Any = None) -> dict[str, Any]:
            parameters = self._parameters()
            read = with_words_dropped(tokens, self.config.word_dropout, seed)
            step = self._step(parameters, read, labels, weight, learning_rate, rows)
            for entry, value, change in zip(self.weights, parameters, step.changes, strict=True):
                entry.variable.assign(value - change)
            return {"loss": step.loss, "weight_sum": step.weight_sum}

        return tf.function(train, autograph=False)

    def _train_corrected(self) -> Any:
        def train(
            tokens: Any, labels: Any, weight: Any, learning_rate: Any, mu: Any, seed: Any = None
        ) -> dict[str, Any]:
            parameters = self._parameters()
            read = with_words_dropped(tokens, self.config.word_dropout, seed)
            step = self._step(parameters, read, labels, weight, learning_rate)
            keep = 1.0 - learning_rate * mu
            for entry, offset, value, change in zip(self.weights, self.offsets, parameters, step.changes, strict=True):
                entry.variable.assign(value * keep - change - learning_rate * offset.variable)
            return {"loss": step.loss, "weight_sum": step.weight_sum}

        return tf.function(train, autograph=False)

    def _step(
        self, parameters: cifg.Parameters, tokens: Any, labels: Any, weight: Any, rate: Any, rows: int | None = None
    ) -> cifg.Step:
        step = cifg.train_step(
            parameters, tokens, labels, weight, rate, layout=self.config.layout, first=START, rows=rows
        )
        return step._replace(changes=_clipped(step.changes, rate, self.config.clip_norm))

    def _evaluate(self) -> Any:
        def evaluate(tokens: Any, labels: Any, weight: Any) -> dict[str, Any]:
            return cifg.evaluate(self._parameters(), tokens, labels, weight, first=START, first_ranked=MARKS)

        return tf.function(evaluate, autograph=False)

    def _infer(self) -> Any:
        count = min(SUGGESTIONS, self.config.vocabulary - MARKS)

        def infer(tokens: Any) -> dict[str, Any]:
            return cifg.suggest(self._parameters(), tokens, count=count, first=START, first_ranked=MARKS)

        return tf.function(infer, autograph=False)


def with_words_dropped(tokens: Any, share: float, seed: Any = None) -> Any:
    """Return tokens int32[B, T] of which a random `share` of the words is the unknown word; marks stay.

    The draws are a function of `seed` (int32, by its 2²⁴ lowest values) and the shape: the same in every runtime.
    """
    if not share:
        return tokens
    draws = uniform(Player(seed), tuple(tokens.shape), 0)
    return tf.where((draws < share) & (tokens >= MARKS), tf.constant(UNKNOWN, tf.int32), tokens)


def _ids(name: str, rows: int, steps: int) -> Any:
    return tf.TensorSpec((rows, steps), tf.int32, name=name)


def _clipped(changes: cifg.Parameters, learning_rate: Any, norm: float | None) -> cifg.Parameters:
    """Bound the gradient's norm; the changes are gradients that the learning rate already multiplies."""
    if norm is None:
        return changes
    length = tf.sqrt(tf.add_n([tf.reduce_sum(tf.square(change)) for change in changes]))
    scale = tf.minimum(1.0, norm * learning_rate / tf.maximum(length, 1e-30))
    return cifg.Parameters(*(change * scale for change in changes))
