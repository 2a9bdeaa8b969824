"""A perceptron for tables of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers


def mlp(features: int = 16, hidden: Sequence[int] = (64, 32), classes: int = 4, dropout: float = 0.1) -> dict[str, Any]:
    """Return a perceptron over rows of numbers: normalized inputs, ReLU layers, dropout, class scores.

    `features` float32[batch, features] in, `labels` int32[batch].

    Example:
        >>> mlp(features=3, hidden=(4,), classes=2)["model"].count_params()
        34
    """
    inputs = keras.Input((features,), name="features")
    value = layers.BatchNormalization()(inputs)
    for units in hidden:
        value = layers.Dense(units, "relu")(value)
        value = layers.Dropout(dropout)(value) if dropout else value
    model = keras.Model(inputs, layers.Dense(classes, name="head")(value), name="mlp")
    return classifier(model, 32)


def classifier(model: Any, batch: int, top: Sequence[str] = ()) -> dict[str, Any]:
    """Return the arguments of `export_trainable` for a model whose outputs are class scores."""
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    metrics = ["accuracy", *top]
    return {"model": model, "loss": loss, "batch": batch, "metrics": metrics, "postprocess": probabilities}


def probabilities(scores: Any) -> dict[str, Any]:
    """Return what an app shows: the probability of each class."""
    return {"probabilities": keras.ops.softmax(scores)}
