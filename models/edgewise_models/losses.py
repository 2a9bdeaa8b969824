"""An author's loss: a `keras.losses` object, its name, or a function of (labels, predictions).

Keras' own code for the loss is traced together with the model, so every loss that Keras has is the loss that trains.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras

from edgewise_models.tensorflow import tf
from edgewise_wire.errors import ConfigError

SPARSE = ("sparse_categorical_crossentropy",)


@dataclass(frozen=True, slots=True)
class Loss:
    """A loss before it is averaged: `call(labels, predictions)` returns one number per example or per token."""

    name: str
    call: Callable[[Any, Any], Any]
    sparse: bool

    def labels(self, output: Any) -> Any:
        """Return the labels' spec for predictions of this spec: class numbers, or numbers of the same shape."""
        if self.sparse:
            return tf.TensorSpec(output.shape[:-1], tf.int32, name="labels")
        return tf.TensorSpec(output.shape, tf.float32, name="labels")


def resolve_loss(loss: Any) -> Loss:
    """Return the loss that an author named or handed over.

    Raises:
        ConfigError: if there is none of that name, or it reduces before the weights can be applied.

    Example:
        >>> resolve_loss("mse").name
        'mean_squared_error'
    """
    try:
        found = keras.losses.get(loss)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"loss {loss!r}: not known to Keras; pass a keras.losses object or a function") from error
    if found is None:
        raise ConfigError("loss: expected a keras.losses object, its name, or a function, got None")
    if isinstance(found, keras.losses.Loss):
        name = getattr(found, "name", type(found).__name__)
        function = getattr(getattr(found, "fn", None), "__name__", name)
        return Loss(name, found.call, function in SPARSE)
    name = getattr(found, "__name__", "loss")
    return Loss(name, found, name in SPARSE)
