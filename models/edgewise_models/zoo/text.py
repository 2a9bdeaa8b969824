"""Next-word models for the tokens of `edgewise_edge.tokenizer`: id 0 is padding and has weight 0."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

from edgewise_models.zoo.table import classifier


def gru(vocabulary: int = 10_000, width: int = 96, units: int = 256, steps: int = 20) -> dict[str, Any]:
    """Return a GRU that predicts each next word (Cho et al. 2014); its loop is unrolled while it is exported.

    `tokens` int32[batch, steps] in, `labels` int32[batch, steps], a weight per position.
    """
    inputs = keras.Input((steps,), dtype="int32", name="tokens")
    value = layers.GRU(units, return_sequences=True)(layers.Embedding(vocabulary, width)(inputs))
    return _next_word(inputs, layers.Dense(width)(value), vocabulary, "gru")


def transformer(
    vocabulary: int = 10_000, width: int = 96, heads: int = 4, depth: int = 4, steps: int = 20, dropout: float = 0.0
) -> dict[str, Any]:
    """Return a small causal transformer (Vaswani et al. 2017; normalization first), about as large as Gboard's LSTM.

    `tokens` int32[batch, steps] in, `labels` int32[batch, steps], a weight per position.
    """
    inputs = keras.Input((steps,), dtype="int32", name="tokens")
    value = _Positions(steps, width, name="positions")(layers.Embedding(vocabulary, width)(inputs))
    for _ in range(depth):
        seen = layers.LayerNormalization()(value)
        attention = layers.MultiHeadAttention(heads, width // heads, dropout=dropout)
        value = layers.Add()([value, attention(seen, seen, use_causal_mask=True)])
        seen = layers.Dense(4 * width, "relu")(layers.LayerNormalization()(value))
        value = layers.Add()([value, layers.Dense(width)(seen)])
    return _next_word(inputs, layers.LayerNormalization()(value), vocabulary, "transformer")


def _next_word(inputs: Any, value: Any, vocabulary: int, name: str) -> dict[str, Any]:
    model = keras.Model(inputs, layers.Dense(vocabulary, name="head")(value), name=name)
    return classifier(model, 16, top=("top3",)) | {"postprocess": lambda scores: {"scores": scores}}


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
