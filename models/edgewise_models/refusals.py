"""What is refused, as models that show it: each is refused before conversion, naming the thing and a way out.

Tests run it; the list in the documentation is generated from it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import keras
from keras import layers, ops

from edgewise_models.keras_export import export_trainable
from edgewise_models.tensorflow import tf
from edgewise_wire.errors import EdgewiseError


@dataclass(frozen=True, slots=True)
class Refusal:
    """A model, or a setting, that cannot be exported: a group, a name, and the arguments of `export_trainable`."""

    group: str
    name: str
    arguments: Callable[[], dict[str, Any]]

    def message(self) -> str:
        """Return the sentence with which it is refused; an empty one if it is not."""
        with TemporaryDirectory() as folder:
            settings = {"loss": "mse", "batch": 2, **self.arguments()}
            try:
                export_trainable(settings.pop("model"), settings.pop("loss"), path=Path(folder, "x.tflite"), **settings)
            except EdgewiseError as error:
                return str(error)
        return ""


REFUSALS: list[Refusal] = []


def _layer(group: str, name: str, layer: Callable[[], Any], shape: tuple[int | None, ...] = (4, 4)) -> None:
    """A dense layer, so that a gradient must pass, and then the layer."""

    def arguments() -> dict[str, Any]:
        inputs = keras.Input(shape, name="x")
        value = layers.Dense(shape[-1] or 4, name="before")(inputs)
        return {"model": keras.Model(inputs, layer()(value), name="model")}

    REFUSALS.append(Refusal(group, name, arguments))


def _small() -> Any:
    return keras.Sequential([keras.Input((3,), name="x"), layers.Dense(2, name="dense")], name="small")


def _setting(name: str, change: Callable[[], dict[str, Any]]) -> None:
    REFUSALS.append(Refusal("setting", name, lambda: {"model": _small(), **change()}))


def _mask(value: Any) -> Any:
    return tf.reduce_sum(tf.boolean_mask(value, value[:, 0, 0] > 0)) + tf.zeros((2, 1))


def _until_large(value: Any) -> Any:
    return tf.while_loop(lambda v: tf.reduce_sum(v) < 9.0, lambda v: (v + 1.0,), [value])[0]


def _either(value: Any) -> Any:
    taken = tf.cond(tf.reduce_sum(value) > 0, lambda: value, lambda: tf.tile(value, [1, 2, 1]))
    return tf.reduce_sum(taken) + tf.zeros((2, 1))


def _lambda(function: Callable[[Any], Any]) -> Callable[[], Any]:
    return lambda: layers.Lambda(function, name="odd")


for _name, _function in {
    "MatrixInverse": tf.linalg.inv,
    "Cholesky": lambda x: tf.linalg.cholesky(x + 9.0 * tf.eye(4)),
    "Qr": lambda x: tf.linalg.qr(x)[0],
    "Svd": lambda x: tf.linalg.svd(x, compute_uv=False),
    "MatrixDeterminant": lambda x: tf.linalg.det(x)[:, None],
    "FFT": lambda x: tf.abs(tf.signal.rfft(x)),
    "erf inverse": tf.math.erfinv,
    "gamma function": tf.math.lgamma,
    "outputs whose size depends on the data": _mask,
    "a loop whose number of steps depends on the data": _until_large,
    "branches that differ in shape": _either,
}.items():
    _layer("operator", _name, _lambda(_function))

_layer("layer", "Conv3D", lambda: layers.Conv3D(2, 2, name="odd"), (4, 4, 4, 2))
_layer("layer", "Conv3DTranspose", lambda: layers.Conv3DTranspose(2, 2, name="odd"), (4, 4, 4, 2))
_layer("layer", "MaxPooling3D", lambda: layers.MaxPooling3D(2, name="odd"), (4, 4, 4, 2))
_layer("layer", "AveragePooling3D", lambda: layers.AveragePooling3D(2, name="odd"), (4, 4, 4, 2))
_layer("layer", "channels first", lambda: layers.Conv2D(2, 2, data_format="channels_first", name="odd"), (4, 4, 4))
_layer("layer", "an input of open size", lambda: layers.Conv1D(2, 2, name="odd"), (None, 4))


def _two_heads() -> dict[str, Any]:
    inputs = keras.Input((3,), name="x")
    return {"model": keras.Model(inputs, [layers.Dense(2)(inputs), layers.Dense(2)(inputs)], name="two_heads")}


def _text() -> dict[str, Any]:
    inputs = keras.Input((), dtype="string", name="text")
    value = layers.Embedding(4, 2)(layers.StringLookup(vocabulary=["see", "you"])(inputs))
    return {"model": keras.Model(inputs, layers.Dense(2)(value), name="text")}


def _half() -> dict[str, Any]:
    inputs = keras.Input((3,), name="x")
    policy = keras.DTypePolicy("float16")
    return {"model": keras.Model(inputs, layers.Dense(2, dtype=policy, name="half")(inputs), name="half")}


def _unreached() -> dict[str, Any]:
    inputs = keras.Input((3,), name="x")
    unused = layers.Lambda(ops.stop_gradient)(layers.Dense(2, name="unused")(inputs))
    return {"model": keras.Model(inputs, layers.Add()([layers.Dense(2)(inputs), unused]), name="unreached")}


for _name, _arguments in {
    "several outputs": _two_heads,
    "text as an input": _text,
    "weights that are not float32": _half,
    "a weight that the loss does not reach": _unreached,
    "a model that is not built": lambda: {"model": keras.Sequential([layers.Dense(2)], name="unbuilt")},
}.items():
    REFUSALS.append(Refusal("model", _name, _arguments))

for _name, _change in {
    "a loss that reduces": lambda: {"loss": lambda labels, found: tf.reduce_mean(found)},
    "moving averages of the weights": lambda: {"optimizer": keras.optimizers.SGD(use_ema=True)},
    "gradient accumulation": lambda: {"optimizer": keras.optimizers.Adam(gradient_accumulation_steps=4)},
    "loss scaling": lambda: {"optimizer": keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD())},
    "a metric that is no mean": lambda: {"metrics": [keras.metrics.AUC(name="auc")]},
    "weights per position without a time axis": lambda: {"weights_per": "position"},
}.items():
    _setting(_name, _change)
