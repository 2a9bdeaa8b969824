"""Next-word models for the tokens of `edgewise_edge.tokenizer`: id 0 is padding and has weight 0.

Given words they are artifacts of the task `next-word`, as Gboard's model is: a device trains them on its texts, and
`infer` suggests words. Given a number they are graphs of that many ids without a vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import layers, ops

from edgewise_models.next_word import MARKS, SUGGESTIONS


def gru(vocabulary: int | Sequence[str] = 10_000, width: int = 96, units: int = 256, steps: int = 20) -> dict[str, Any]:
    """Return a GRU that predicts each next word (Cho et al. 2014); its loop is unrolled while it is exported.

    `vocabulary` is the words, or the number of ids. `tokens` int32[batch, steps] in, `labels` int32[batch, steps], a
    weight per position.
    """
    words, ids = _words(vocabulary)
    inputs = keras.Input((steps,), dtype="int32", name="tokens")
    value = layers.GRU(units, return_sequences=True)(layers.Embedding(ids, width)(inputs))
    return _next_word(inputs, layers.Dense(width)(value), ids, words, "gru")


def transformer(
    vocabulary: int | Sequence[str] = 10_000,
    width: int = 96,
    heads: int = 4,
    depth: int = 4,
    steps: int = 20,
    dropout: float = 0.0,
) -> dict[str, Any]:
    """Return a small causal transformer (Vaswani et al. 2017; normalization first), about as large as Gboard's LSTM.

    `vocabulary` is the words, or the number of ids. `tokens` int32[batch, steps] in, `labels` int32[batch, steps], a
    weight per position.
    """
    words, ids = _words(vocabulary)
    inputs = keras.Input((steps,), dtype="int32", name="tokens")
    value = _Positions(steps, width, name="positions")(layers.Embedding(ids, width)(inputs))
    for _ in range(depth):
        seen = layers.LayerNormalization()(value)
        attention = layers.MultiHeadAttention(heads, width // heads, dropout=dropout)
        value = layers.Add()([value, attention(seen, seen, use_causal_mask=True)])
        seen = layers.Dense(4 * width, "relu")(layers.LayerNormalization()(value))
        value = layers.Add()([value, layers.Dense(width)(seen)])
    return _next_word(inputs, layers.LayerNormalization()(value), ids, words, "transformer")


def _words(vocabulary: int | Sequence[str]) -> tuple[tuple[str, ...], int]:
    """Return the words and the number of ids: the marks', and one for each word."""
    if isinstance(vocabulary, int):
        return (), vocabulary
    return tuple(vocabulary), MARKS + len(vocabulary)


def _next_word(inputs: Any, value: Any, ids: int, words: tuple[str, ...], name: str) -> dict[str, Any]:
    return {
        "model": keras.Model(inputs, layers.Dense(ids, name="head")(value), name=name),
        "loss": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        "batch": 16,
        "metrics": [top1, top3],
        "postprocess": suggestions,
        "words": words,
    }


def top1(labels: Any, scores: Any) -> Any:
    """Return 1 where the label is the likeliest word, else 0."""
    return _among(1, labels, scores)


def top3(labels: Any, scores: Any) -> Any:
    """Return 1 where the label is among the three likeliest words, else 0."""
    return _among(3, labels, scores)


def _among(count: int, labels: Any, scores: Any) -> Any:
    """Count as Gboard's model does: marks are not ranked, such a label is always missed, a tie is against the model."""
    own = ops.take_along_axis(scores, ops.expand_dims(labels, -1), axis=-1)
    rank = ops.sum(ops.cast(scores[..., MARKS:] >= own, "float32"), axis=-1)
    return ops.cast(ops.logical_and(labels >= MARKS, ops.logical_and(rank >= 1.0, rank <= count)), "float32")


def suggestions(scores: Any, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the `ids` int32[k] and `probabilities` float32[k] of the likeliest words after the last token."""
    tokens = inputs["tokens"]
    used = ops.where(tokens[0] != 0, ops.arange(tokens.shape[1], dtype="int32"), 0)
    last = ops.take(scores[0], ops.max(used), axis=0)
    best = ops.top_k(ops.softmax(last)[MARKS:], min(SUGGESTIONS, int(last.shape[0]) - MARKS))
    return {"ids": ops.cast(best[1], "int32") + MARKS, "probabilities": best[0]}


@keras.saving.register_keras_serializable(package="edgewise")
class _Positions(layers.Layer):  # type: ignore[misc]
    """Adds a trained vector for each position."""

    def __init__(self, steps: int, width: int, **settings: Any) -> None:
        super().__init__(**settings)
        self.steps, self.width = steps, width

    def build(self, input_shape: Any) -> None:
        """Make the table."""
        del input_shape
        self.table = self.add_weight(shape=(self.steps, self.width), initializer="random_normal", name="table")

    def call(self, inputs: Any) -> Any:
        """Add it."""
        return inputs + ops.convert_to_tensor(self.table)

    def get_config(self) -> dict[str, Any]:
        """Return the settings."""
        return {**super().get_config(), "steps": self.steps, "width": self.width}
