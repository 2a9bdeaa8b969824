"""The export matrix: small models that between them hold every layer, activation, loss and optimizer we promise.

Tests and `scripts/test-export-matrix` run it; the table in the documentation is generated from it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import keras
from keras import layers, ops

from edgewise_models.tensorflow import tf

BATCH = 3

Build: TypeAlias = Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Training:
    """A loss or an optimizer on one small model."""

    name: str
    build: Build
    loss: Any
    optimizer: Any = "sgd"
    metrics: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Case:
    """One row: a family, a name, and a builder of a Keras model whose batch is `BATCH` and whose output is [B, n]."""

    family: str
    name: str
    build: Build


CASES: list[Case] = []


def _case(family: str, name: str) -> Callable[[Build], Build]:
    def register(build: Build) -> Build:
        CASES.append(Case(family, name, build))
        return build

    return register


def _vector(*tested: Any) -> Build:
    """A dense layer before the tested ones, so that a gradient must pass through them, and one after."""
    return lambda: _model((6,), layers.Dense(6, name="before"), tested)


def _image(*tested: Any, size: tuple[int, int, int] = (7, 6, 3)) -> Build:
    return lambda: _model(size, layers.Conv2D(4, 1, name="before"), tested)


def _series(*tested: Any, size: tuple[int, int] = (5, 4)) -> Build:
    return lambda: _model(size, layers.Dense(4, name="before"), tested)


def _model(shape: tuple[int, ...], before: Any, tested: Any) -> Any:
    inputs = keras.Input(shape, name="x")
    value = before(inputs)
    for layer in tested:
        value = (layer() if isinstance(layer, type) or getattr(layer, "__name__", "") == "<lambda>" else layer)(value)
    return keras.Model(inputs, layers.Dense(3, name="after")(layers.Flatten()(value)))


def _op(function: Callable[[Any], Any]) -> Callable[[], Any]:
    return lambda: layers.Lambda(function)


def _add(family: str, name: str, build: Build) -> None:
    CASES.append(Case(family, name, build))


for _name, _function in {
    "relu": ops.relu,
    "relu6": ops.relu6,
    "leaky_relu": ops.leaky_relu,
    "elu": ops.elu,
    "selu": ops.selu,
    "gelu, erf": lambda x: ops.gelu(x, approximate=False),
    "gelu, tanh": lambda x: ops.gelu(x, approximate=True),
    "swish": ops.silu,
    "softplus": ops.softplus,
    "sigmoid": ops.sigmoid,
    "hard_sigmoid": ops.hard_sigmoid,
    "tanh": ops.tanh,
    "softmax": ops.softmax,
    "log_softmax": ops.log_softmax,
    "softsign": ops.softsign,
    "exponential": ops.exp,
    "mish": lambda x: x * ops.tanh(ops.softplus(x)),
    "log_sigmoid": ops.log_sigmoid,
    "hard_tanh": ops.hard_tanh,
    "hard_swish": ops.hard_silu,
    "celu": ops.celu,
    "glu": ops.glu,
    "sparsemax": ops.sparsemax,
}.items():
    _add("activation", _name, _vector(_op(_function)))


@tf.custom_gradient  # type: ignore[untyped-decorator]
def _doubled_gradient(x: Any) -> Any:
    return tf.nn.relu(x), lambda d: 2.0 * d * tf.cast(x > 0, tf.float32)


def _looped(x: Any) -> Any:
    return tf.while_loop(lambda i, _: i < 3, lambda i, v: (i + 1, tf.tanh(v) + 0.5 * v), [tf.constant(0), x])[1]


for _name, _function in {
    "strided slice": lambda x: x[:, 1:-1:2, ::-1],
    "slice": lambda x: x[:, 1:4],
    "gather": lambda x: ops.take(x, [3, 0, 3, 1], axis=1),
    "take_along_axis": lambda x: ops.take_along_axis(x, ops.argsort(x, axis=1)[:, :2], axis=1),
    "concat": lambda x: ops.concatenate([x, 2.0 * x[:, :2]], axis=1),
    "stack": lambda x: ops.stack([x, x * x], axis=1),
    "split": lambda x: ops.split(x, 2, axis=2)[1],
    "pad": lambda x: ops.pad(x, ((0, 0), (1, 2), (0, 1))),
    "pad, reflect": lambda x: ops.pad(x, ((0, 0), (2, 1), (1, 1)), mode="reflect"),
    "pad, symmetric": lambda x: ops.pad(x, ((0, 0), (2, 1), (0, 0)), mode="symmetric"),
    "select": lambda x: ops.where(x > 0.1, x * x, -x),
    "maximum": lambda x: ops.maximum(x, 0.3 * x * x),
    "minimum": lambda x: ops.minimum(x, x[:, :1]),
    "abs": ops.abs,
    "clip": lambda x: ops.clip(x, -0.4, 0.5),
    "sum": lambda x: ops.sum(x, axis=1),
    "mean": lambda x: ops.mean(x, axis=(1, 2), keepdims=True),
    "max": lambda x: ops.max(x, axis=1),
    "min": lambda x: ops.min(x, axis=-1),
    "prod": lambda x: ops.prod(x, axis=-1),
    "logsumexp": lambda x: ops.logsumexp(x, axis=-1),
    "cumsum": lambda x: ops.cumsum(x, axis=1),
    "transpose": lambda x: ops.transpose(x, (0, 2, 1)),
    "tile": lambda x: ops.tile(x, (1, 2, 3)),
    "repeat": lambda x: ops.repeat(x, 2, axis=1),
    "flip": lambda x: ops.flip(x, axis=1),
    "roll": lambda x: ops.roll(x, 2, axis=1),
    "einsum": lambda x: ops.einsum("btd,bsd->bts", x, x),
    "matmul": lambda x: ops.matmul(x, ops.transpose(x, (0, 2, 1))),
    "power": lambda x: ops.power(ops.abs(x) + 0.1, 1.7),
    "sqrt, rsqrt": lambda x: ops.sqrt(ops.abs(x) + 0.1) + ops.rsqrt(ops.abs(x) + 0.1),
    "log, log1p, expm1": lambda x: ops.log(ops.abs(x) + 0.5) + ops.log1p(ops.abs(x)) + ops.expm1(0.2 * x),
    "divide": lambda x: x / (1.0 + x * x),
    "sin, cos": lambda x: ops.sin(x) * ops.cos(x),
    "sinh, cosh, tan": lambda x: ops.sinh(ops.tanh(x)) + ops.cosh(ops.tanh(x)) + ops.tan(ops.tanh(x)),
    "mod": lambda x: ops.mod(x, 0.7),
    "sort": lambda x: ops.sort(x, axis=-1),
    "erf": ops.erf,
    "norm": lambda x: ops.norm(x, axis=-1, keepdims=True),
    "normalize": lambda x: ops.normalize(x, axis=-1),
    "top_k": lambda x: ops.top_k(x, 2)[0],
    "one_hot": lambda x: x * ops.one_hot(ops.argmax(x, axis=-1), 4),
    "broadcast_to": lambda x: ops.broadcast_to(x[:, :1], (BATCH, 5, 4)),
    "squeeze, expand_dims": lambda x: ops.squeeze(ops.expand_dims(x, 1), 1),
    "variance, std": lambda x: ops.var(x, axis=1) + ops.std(x, axis=1),
    "custom gradient": lambda x: _doubled_gradient(x),
    "while loop": lambda x: _looped(x),
    "stop_gradient": lambda x: x * ops.stop_gradient(x),
}.items():
    _add("operation", _name, _series(_op(_function)))


for _name, _layers in {
    "Conv2D": [layers.Conv2D, {"filters": 4, "kernel_size": 3}],
    "Conv2D, same, strides 2": [layers.Conv2D, {"filters": 4, "kernel_size": 3, "strides": 2, "padding": "same"}],
    "Conv2D, dilation 2": [layers.Conv2D, {"filters": 4, "kernel_size": 2, "dilation_rate": 2}],
    "Conv2D, dilation 2, same": [
        layers.Conv2D,
        {"filters": 4, "kernel_size": 3, "dilation_rate": 2, "padding": "same"},
    ],
    "Conv2D, groups 2": [layers.Conv2D, {"filters": 4, "kernel_size": 3, "groups": 2}],
    "Conv2D, 1 by 1": [layers.Conv2D, {"filters": 5, "kernel_size": 1}],
    "DepthwiseConv2D": [layers.DepthwiseConv2D, {"kernel_size": 3}],
    "DepthwiseConv2D, strides 2, same": [layers.DepthwiseConv2D, {"kernel_size": 3, "strides": 2, "padding": "same"}],
    "DepthwiseConv2D, multiplier 2": [layers.DepthwiseConv2D, {"kernel_size": 3, "depth_multiplier": 2}],
    "DepthwiseConv2D, dilation 2": [layers.DepthwiseConv2D, {"kernel_size": 2, "dilation_rate": 2}],
    "SeparableConv2D": [layers.SeparableConv2D, {"filters": 4, "kernel_size": 3}],
    "Conv2DTranspose": [layers.Conv2DTranspose, {"filters": 4, "kernel_size": 3}],
    "Conv2DTranspose, strides 2, same": [
        layers.Conv2DTranspose,
        {"filters": 4, "kernel_size": 3, "strides": 2, "padding": "same"},
    ],
    "MaxPooling2D": [layers.MaxPooling2D, {"pool_size": 2}],
    "MaxPooling2D, overlapping, same": [layers.MaxPooling2D, {"pool_size": 3, "strides": 2, "padding": "same"}],
    "AveragePooling2D": [layers.AveragePooling2D, {"pool_size": 2}],
    "AveragePooling2D, overlapping, same": [layers.AveragePooling2D, {"pool_size": 3, "strides": 2, "padding": "same"}],
    "GlobalMaxPooling2D": [layers.GlobalMaxPooling2D, {}],
    "GlobalAveragePooling2D": [layers.GlobalAveragePooling2D, {}],
    "BatchNormalization": [layers.BatchNormalization, {}],
    "LayerNormalization": [layers.LayerNormalization, {}],
    "GroupNormalization": [layers.GroupNormalization, {"groups": 2}],
    "GroupNormalization, instance": [layers.GroupNormalization, {"groups": -1}],
    "UnitNormalization": [layers.UnitNormalization, {}],
    "UpSampling2D, nearest": [layers.UpSampling2D, {"size": 2}],
    "UpSampling2D, bilinear": [layers.UpSampling2D, {"size": 2, "interpolation": "bilinear"}],
    "ZeroPadding2D": [layers.ZeroPadding2D, {"padding": 1}],
    "Cropping2D": [layers.Cropping2D, {"cropping": 1}],
    "Resizing": [layers.Resizing, {"height": 4, "width": 9}],
    "Rescaling": [layers.Rescaling, {"scale": 0.5, "offset": 0.1}],
    "PReLU": [layers.PReLU, {}],
    "SpatialDropout2D": [layers.SpatialDropout2D, {"rate": 0.4, "seed": 1}],
}.items():
    _add("image layer", _name, _image(lambda kind=_layers[0], settings=_layers[1]: kind(**settings)))

for _name, _layers in {
    "Conv1D": [layers.Conv1D, {"filters": 4, "kernel_size": 3}],
    "Conv1D, causal, dilation 2": [
        layers.Conv1D,
        {"filters": 4, "kernel_size": 2, "padding": "causal", "dilation_rate": 2},
    ],
    "Conv1D, strides 2, same": [layers.Conv1D, {"filters": 4, "kernel_size": 3, "strides": 2, "padding": "same"}],
    "DepthwiseConv1D": [layers.DepthwiseConv1D, {"kernel_size": 3}],
    "SeparableConv1D": [layers.SeparableConv1D, {"filters": 4, "kernel_size": 3}],
    "Conv1DTranspose": [layers.Conv1DTranspose, {"filters": 4, "kernel_size": 3, "strides": 2}],
    "MaxPooling1D": [layers.MaxPooling1D, {"pool_size": 2}],
    "AveragePooling1D": [layers.AveragePooling1D, {"pool_size": 2}],
    "GlobalMaxPooling1D": [layers.GlobalMaxPooling1D, {}],
    "GlobalAveragePooling1D": [layers.GlobalAveragePooling1D, {}],
    "SimpleRNN": [layers.SimpleRNN, {"units": 4, "return_sequences": True}],
    "LSTM": [layers.LSTM, {"units": 4, "return_sequences": True}],
    "LSTM, unrolled, last step": [layers.LSTM, {"units": 4, "unroll": True}],
    "GRU": [layers.GRU, {"units": 4, "return_sequences": True}],
    "GRU, reset before": [layers.GRU, {"units": 4, "reset_after": False}],
    "LSTM, dropout, recurrent dropout": [
        layers.LSTM,
        {"units": 4, "dropout": 0.2, "recurrent_dropout": 0.2, "seed": 1},
    ],
    "LSTM, backwards": [layers.LSTM, {"units": 4, "go_backwards": True, "return_sequences": True}],
    "UpSampling1D": [layers.UpSampling1D, {"size": 2}],
    "ZeroPadding1D": [layers.ZeroPadding1D, {"padding": 1}],
    "Permute": [layers.Permute, {"dims": (2, 1)}],
    "Reshape": [layers.Reshape, {"target_shape": (10, 2)}],
    "RMSNormalization": [layers.RMSNormalization, {}],
    "Dropout": [layers.Dropout, {"rate": 0.4, "seed": 1}],
    "GaussianNoise": [layers.GaussianNoise, {"stddev": 0.3, "seed": 1}],
    "GaussianDropout": [layers.GaussianDropout, {"rate": 0.3, "seed": 1}],
    "AlphaDropout": [layers.AlphaDropout, {"rate": 0.3, "seed": 1}],
    "SpatialDropout1D": [layers.SpatialDropout1D, {"rate": 0.3, "seed": 1}],
    "ActivityRegularization": [layers.ActivityRegularization, {"l2": 0.01}],
    "EinsumDense": [layers.EinsumDense, {"equation": "btd,de->bte", "output_shape": (5, 5), "bias_axes": "e"}],
}.items():
    _steps = 3 if issubclass(_layers[0], layers.RNN) else 5  # what is unrolled grows with each
    _add(
        "series layer", _name, _series(lambda kind=_layers[0], settings=_layers[1]: kind(**settings), size=(_steps, 4))
    )

_add(
    "series layer",
    "Bidirectional",
    _series(lambda: layers.Bidirectional(layers.GRU(3, return_sequences=True)), size=(3, 4)),
)
_add("series layer", "TimeDistributed", _series(lambda: layers.TimeDistributed(layers.Dense(3))))


@_case("model", "Embedding")
def _embedding() -> Any:
    inputs = keras.Input((5,), dtype="int32", name="tokens")
    value = layers.Embedding(11, 4)(inputs)
    return keras.Model(inputs, layers.Dense(3)(layers.Flatten()(value)))


@_case("model", "Embedding with mask, LSTM")
def _masked() -> Any:
    inputs = keras.Input((5,), dtype="int32", name="tokens")
    value = layers.LSTM(4)(layers.Embedding(11, 4, mask_zero=True)(inputs))
    return keras.Model(inputs, layers.Dense(3)(value))


@_case("model", "MultiHeadAttention, causal")
def _attention() -> Any:
    inputs = keras.Input((5, 6), name="x")
    value = layers.MultiHeadAttention(2, 3)(inputs, inputs, use_causal_mask=True)
    return keras.Model(inputs, layers.Dense(3)(layers.Flatten()(layers.Add()([inputs, value]))))


@_case("model", "MultiHeadAttention, mask as an input")
def _given_mask() -> Any:
    inputs, mask = keras.Input((5, 6), name="x"), keras.Input((5, 5), dtype="int32", name="mask")
    seen = layers.Lambda(lambda value: ops.cast(value % 2, "bool"))(mask)
    value = layers.MultiHeadAttention(2, 3)(inputs, inputs, attention_mask=seen)
    return keras.Model([inputs, mask], layers.Dense(3)(layers.Flatten()(value)))


@_case("model", "GroupQueryAttention")
def _group_query() -> Any:
    inputs = keras.Input((5, 6), name="x")
    return keras.Model(inputs, layers.Dense(3)(layers.Flatten()(layers.GroupQueryAttention(4, 4, 2)(inputs, inputs))))


@_case("model", "Attention, AdditiveAttention")
def _plain_attention() -> Any:
    inputs = keras.Input((5, 6), name="x")
    query, value = layers.Dense(6)(inputs), layers.Dense(6)(inputs)
    both = [layers.Attention(use_scale=True)([query, value]), layers.AdditiveAttention()([query, value])]
    return keras.Model(inputs, layers.Dense(3)(layers.Flatten()(layers.Concatenate()(both))))


@_case("model", "MultiHeadAttention, padding mask, dropout")
def _masked_attention() -> Any:
    inputs = keras.Input((5,), dtype="int32", name="tokens")
    value = layers.Embedding(11, 6, mask_zero=True)(inputs)
    value = layers.MultiHeadAttention(2, 3, dropout=0.2)(value, value)
    return keras.Model(inputs, layers.Dense(3)(layers.GlobalAveragePooling1D()(value)))


@_case("model", "several inputs, merging layers")
def _several() -> Any:
    left, right = keras.Input((4,), name="left"), keras.Input((4,), name="right")
    a, b = layers.Dense(4)(left), layers.Dense(4)(right)
    merged = [kind()([a, b]) for kind in (layers.Add, layers.Subtract, layers.Multiply, layers.Average)]
    merged += [layers.Maximum()([a, b]), layers.Minimum()([a, b]), layers.Dot(axes=1)([a, b])]
    return keras.Model([left, right], layers.Dense(3)(layers.Concatenate()(merged)))


@_case("model", "activations right after products")
def _without_bias() -> Any:
    inputs = keras.Input((6, 4), name="x")
    value = layers.Dense(5, "relu", use_bias=False)(inputs)
    value = layers.Conv1D(4, 2, activation="relu6", use_bias=False)(value)
    value = layers.Dense(5, "leaky_relu", use_bias=False)(layers.Flatten()(value))
    value = layers.Dense(5, "tanh", use_bias=False)(layers.Dense(6, "relu", use_bias=False)(value))
    value = layers.Lambda(lambda v: ops.clip(v, -1.0, 1.0))(layers.Dense(4, use_bias=False)(value))
    return keras.Model(inputs, layers.Dense(3, use_bias=False)(value))


@_case("model", "frozen layer")
def _frozen() -> Any:
    return _series(lambda: layers.Dense(4, trainable=False))()


@_case("model", "shared layer")
def _shared() -> Any:
    inputs = keras.Input((4,), name="x")
    dense = layers.Dense(4, activation="tanh")
    return keras.Model(inputs, layers.Dense(3)(dense(dense(inputs))))


@_case("model", "inverted residual block")
def _mobile() -> Any:
    inputs = keras.Input((8, 8, 4), name="x")
    value = layers.ReLU(6.0)(layers.BatchNormalization()(layers.Conv2D(8, 1, use_bias=False)(inputs)))
    value = layers.ReLU(6.0)(layers.BatchNormalization()(layers.DepthwiseConv2D(3, padding="same")(value)))
    value = layers.Add()([inputs, layers.BatchNormalization()(layers.Conv2D(4, 1, use_bias=False)(value))])
    return keras.Model(inputs, layers.Dense(3)(layers.GlobalAveragePooling2D()(value)))


def _small(units: int, activation: str | None = None) -> Build:
    def build() -> Any:
        inputs = keras.Input((5,), name="x")
        value = layers.Dense(6, activation="tanh", name="hidden")(inputs)
        return keras.Model(inputs, layers.Dense(units, activation=activation, name="head")(value), name="small")

    return build


def _tagger() -> Any:
    inputs = keras.Input((4, 5), name="x")
    return keras.Model(inputs, layers.Dense(7, name="head")(inputs), name="tagger")


_L = keras.losses
LOSSES = (
    Training(
        "sparse cross-entropy", _small(3), _L.SparseCategoricalCrossentropy(from_logits=True), "sgd", ("accuracy",)
    ),
    Training("sparse cross-entropy of softmax", _small(3, "softmax"), "sparse_categorical_crossentropy"),
    Training(
        "sparse cross-entropy, weight per position",
        lambda: _tagger(),
        _L.SparseCategoricalCrossentropy(from_logits=True),
        "sgd",
        ("accuracy", "top3"),
    ),
    Training("cross-entropy", _small(3), _L.CategoricalCrossentropy(from_logits=True), "sgd", ("accuracy", "top2")),
    Training(
        "cross-entropy of softmax, label smoothing 0.1",
        _small(3, "softmax"),
        _L.CategoricalCrossentropy(label_smoothing=0.1),
    ),
    Training("binary cross-entropy", _small(1), _L.BinaryCrossentropy(from_logits=True)),
    Training("binary cross-entropy of sigmoid", _small(1, "sigmoid"), "binary_crossentropy", "sgd", ("accuracy",)),
    Training("binary cross-entropy, label smoothing 0.1", _small(1), _L.BinaryCrossentropy(True, label_smoothing=0.1)),
    Training("categorical, focal", _small(3, "softmax"), _L.CategoricalFocalCrossentropy()),
    Training("binary, focal", _small(2, "sigmoid"), _L.BinaryFocalCrossentropy()),
    Training("mean squared error", _small(2), "mse", "sgd", ("mae",)),
    Training("mean absolute error", _small(2), "mae"),
    Training("Huber", _small(2), _L.Huber(delta=0.5)),
    Training("log cosh", _small(2), "log_cosh"),
    Training("Kullback-Leibler", _small(3, "softmax"), "kl_divergence"),
    Training("Poisson", _small(2, "softplus"), "poisson"),
    Training("hinge", _small(2), "hinge"),
    Training("cosine similarity", _small(3), "cosine_similarity"),
    Training("a function", _small(2), lambda labels, found: ops.mean(ops.abs(labels - found) ** 1.5, axis=-1)),
)
"""Every loss that is promised, on one small model with SGD."""

_O = keras.optimizers
_CE = _L.SparseCategoricalCrossentropy(from_logits=True)
OPTIMIZERS = tuple(
    Training(name, _small(3), _CE, optimizer)
    for name, optimizer in {
        "SGD": _O.SGD(),
        "SGD, momentum": _O.SGD(momentum=0.9),
        "SGD, Nesterov": _O.SGD(momentum=0.9, nesterov=True),
        "SGD, weight decay": _O.SGD(weight_decay=0.01),
        "SGD, clipnorm": _O.SGD(clipnorm=0.1),
        "SGD, global clipnorm": _O.SGD(global_clipnorm=0.1),
        "SGD, clipvalue": _O.SGD(clipvalue=0.05),
        "Adam": _O.Adam(),
        "Adam, AMSGrad": _O.Adam(amsgrad=True),
        "AdamW": _O.AdamW(weight_decay=0.01),
        "Adam, clipvalue": _O.Adam(clipvalue=0.05),
        "Adam, global clipnorm": _O.Adam(global_clipnorm=0.1),
        "Adagrad": _O.Adagrad(),
        "RMSprop": _O.RMSprop(),
        "RMSprop, centered, momentum": _O.RMSprop(centered=True, momentum=0.5),
        "Adadelta": _O.Adadelta(),
        "Adamax": _O.Adamax(),
        "Nadam": _O.Nadam(),
        "Lion": _O.Lion(),
        "Ftrl": _O.Ftrl(),
        "Lamb": _O.Lamb(),
        "Adafactor": _O.Adafactor(),
    }.items()
)
"""Every optimizer that is promised, on one small model."""
