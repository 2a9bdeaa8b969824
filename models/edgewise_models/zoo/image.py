"""Networks for small images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from edgewise_models.zoo.table import classifier


def cnn(size: int = 28, channels: int = 1, filters: Sequence[int] = (32, 64), classes: int = 10) -> dict[str, Any]:
    """Return the convolutional network of McMahan et al. 2017 (§3), with 3×3 windows: convolutions, pools, a layer.

    `image` float32[batch, size, size, channels] in, `labels` int32[batch].
    """
    inputs = keras.Input((size, size, channels), name="image")
    value = inputs
    for count in filters:
        value = layers.MaxPooling2D(2)(layers.Conv2D(count, 3, padding="same", activation="relu")(value))
    value = layers.Dense(4 * filters[-1], "relu")(layers.Flatten()(value))
    return classifier(keras.Model(inputs, layers.Dense(classes, name="head")(value), name="cnn"), 16)


def mobile(
    size: int = 32, channels: int = 3, widths: Sequence[int] = (16, 24, 32), classes: int = 10
) -> dict[str, Any]:
    """Return a network of inverted residual blocks (Sandler et al. 2018, MobileNetV2, §3.3).

    Its batch-norm statistics travel as state. `image` float32[batch, size, size, channels] in, `labels` int32[batch].
    """
    inputs = keras.Input((size, size, channels), name="image")
    value = _normalized(layers.Conv2D(widths[0], 3, strides=2, padding="same", use_bias=False)(inputs))
    for width in widths:
        value = _block(value, width, strides=1 if width == widths[0] else 2)
        value = _block(value, width, strides=1)
    value = layers.GlobalAveragePooling2D()(value)
    return classifier(keras.Model(inputs, layers.Dense(classes, name="head")(value), name="mobile"), 16)


def _block(value: Any, width: int, *, strides: int, expansion: int = 4) -> Any:
    before, channels = value, value.shape[-1]
    value = _normalized(layers.Conv2D(expansion * channels, 1, use_bias=False)(value))
    value = _normalized(layers.DepthwiseConv2D(3, strides=strides, padding="same", use_bias=False)(value))
    value = layers.BatchNormalization()(layers.Conv2D(width, 1, use_bias=False)(value))
    return layers.Add()([before, value]) if strides == 1 and channels == width else value


def _normalized(value: Any) -> Any:
    return layers.ReLU(6.0)(layers.BatchNormalization()(value))
