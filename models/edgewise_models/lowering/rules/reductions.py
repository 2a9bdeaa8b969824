"""Sums, means and extremes over axes."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgewise_models.lowering.call import Call
from edgewise_models.lowering.registry import backward, composed, forward
from edgewise_models.lowering.rules._sums import as_mask, positive_axes, spread
from edgewise_models.lowering.values import Value, is_known, shape_of
from edgewise_models.tensorflow import tf

LARGEST = 3.4028235e38


def _axes(call: Call) -> list[int]:
    return positive_axes(call.known(1, "the axis"), len(call.shape()))


def _spread(call: Call, value: Value) -> Value:
    return spread(value, call.shape(), _axes(call), bool(call.attrs.get("keep_dims")))


@backward("Sum")
def sum_gradient(call: Call, d: Value) -> list[Value]:
    """The same to every summand."""
    return [tf.broadcast_to(_spread(call, d), call.shape())]


@backward("Mean")
def mean_gradient(call: Call, d: Value) -> list[Value]:
    """An equal share to every summand."""
    count = int(np.prod([call.shape()[axis] for axis in _axes(call)]))
    return [tf.broadcast_to(_spread(call, d * (1.0 / count)), call.shape())]


@backward("Max", "Min")
def extreme_gradient(call: Call, d: Value) -> list[Value]:
    """To where the extreme is; in equal shares where it is several times, as TensorFlow does."""
    mask = as_mask(tf.equal(call.x, _spread(call, call.y)))
    share = _spread(call, d) / tf.reduce_sum(mask, _axes(call), keepdims=True)
    return [mask * share]


@composed("Prod")
def prod(call: Call) -> Any:
    """A chain of products, whose gradient is right at zeros too."""
    emit, value = call.player.emit, call.x
    keep = bool(call.attrs.get("keep_dims"))
    for axis in reversed(_axes(call)):
        size = shape_of(value)[axis]
        if size > 256:
            raise call.refuse(f"a product over {size} elements", "sum logarithms instead")
        pieces = emit("Unpack", [value], call.name, num=size, axis=axis)
        value = pieces[0]
        for piece in pieces[1:]:
            value = emit("Mul", [value, piece], call.name)[0]
        if keep:
            value = emit("ExpandDims", [value, np.int32(axis)], call.name)[0]
    return value


@composed("EuclideanNorm")
def euclidean_norm(call: Call) -> Any:
    """√Σx²."""
    emit = call.player.emit
    squares = emit("Square", [call.x], call.name)[0]
    total = emit("Sum", [squares, call.inputs[1]], call.name, keep_dims=bool(call.attrs.get("keep_dims")))[0]
    return emit("Sqrt", [total], call.name)[0]


@composed("L2Loss")
def l2_loss(call: Call) -> Any:
    """Σx²/2."""
    emit = call.player.emit
    squares = emit("Square", [call.x], call.name)[0]
    axes = np.arange(len(call.shape()), dtype=np.int32)
    return emit("Mul", [emit("Sum", [squares, axes], call.name, keep_dims=False)[0], np.float32(0.5)], call.name)[0]


@backward("Cumsum")
def cumsum_gradient(call: Call, d: Value) -> list[Value]:
    """The sum from the other end."""
    return [
        tf.cumsum(
            d,
            int(call.known(1, "the axis")),
            exclusive=bool(call.attrs["exclusive"]),
            reverse=not call.attrs["reverse"],
        )
    ]


@forward("IsFinite")
def is_finite(call: Call) -> Value:
    """|x| ≤ the largest float; false for NaN."""
    return tf.less_equal(tf.abs(call.x), LARGEST)


@forward("IsNan")
def is_nan(call: Call) -> Value:
    """x ≠ x."""
    return tf.not_equal(call.x, call.x)


@forward("IsInf")
def is_inf(call: Call) -> Value:
    """|x| above the largest float."""
    return tf.greater(tf.abs(call.x), LARGEST)


@forward("InTopKV2", "InTopK")
def in_top_k(call: Call) -> Value:
    """Fewer than k predictions above the target's."""
    predictions, targets = call.inputs[0], tf.cast(call.inputs[1], tf.int32)
    k = int(call.known(2, "k")) if call.type == "InTopKV2" else int(call.attrs["k"])
    rows = shape_of(predictions)[0]
    places = tf.stack([np.arange(rows, dtype=np.int32), targets], 1)
    own = tf.reshape(tf.gather_nd(predictions, places), [rows, 1])
    above = tf.reduce_sum(as_mask(tf.greater(predictions, own)), 1)
    return tf.less(above, float(k))


@backward("TopKV2")
def top_k_gradient(call: Call, d: Value, *_: Value) -> list[Value]:
    """Scatter each value's cotangent back to its place."""
    rows = int(np.prod(call.shape()[:-1]))
    size, k = call.shape()[-1], shape_of(call.y)[-1]
    offsets = (np.arange(rows, dtype=np.int32) * size)[:, None]
    places = tf.reshape(tf.reshape(call.outputs[1], [rows, k]) + offsets, [rows * k, 1])
    return [tf.reshape(tf.scatter_nd(places, tf.reshape(d, [rows * k]), [rows * size]), call.shape()), None]


@composed("ClipByNorm")
def clip_by_norm(call: Call) -> Any:
    """Never emitted by TensorFlow itself; kept so that its name is known."""
    raise call.refuse("the fused form", "use tf.clip_by_norm")


@forward("Any", "All")
def any_all(call: Call) -> Value:
    """Counts: REDUCE_ANY and REDUCE_ALL take only some axes in old runtimes."""
    axes = _axes(call)
    counted = tf.reduce_sum(as_mask(call.x), axes, keepdims=bool(call.attrs.get("keep_dims")))
    if call.type == "Any":
        return tf.greater(counted, 0.5)
    return tf.greater(counted, float(np.prod([call.shape()[a] for a in axes])) - 0.5)


@forward("Sum", "Mean", "Max", "Min")
def reduction(call: Call) -> Value:
    """The operator itself; nothing at all over no axes."""
    if not is_known(call.inputs[1]):
        raise call.refuse("the axes depend on the data", "use constant axes")
    axes = _axes(call)
    if not axes:
        return call.x
    function = {"Sum": tf.reduce_sum, "Mean": tf.reduce_mean, "Max": tf.reduce_max, "Min": tf.reduce_min}[call.type]
    return function(call.x, axes, keepdims=bool(call.attrs.get("keep_dims")))
