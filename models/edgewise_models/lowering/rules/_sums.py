"""Small pieces that several families share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgewise_models.lowering.values import Value, shape_of
from edgewise_models.tensorflow import tf


def unbroadcast(value: Value, shape: Sequence[int]) -> Value:
    """Sum `value` down to `shape`: the transpose of broadcasting."""
    have, want = shape_of(value), tuple(shape)
    if have == want:
        return value
    lead = len(have) - len(want)
    axes = [*range(lead)] + [lead + i for i, size in enumerate(want) if size == 1 and have[lead + i] != 1]
    if axes:
        value = tf.reduce_sum(value, axes)
    return value if shape_of(value) == want else tf.reshape(value, want)


def spread(value: Value, shape: Sequence[int], axes: Sequence[int], keep_dims: bool) -> Value:
    """Undo a reduction's loss of rank, so that `value` broadcasts against `shape`."""
    if keep_dims:
        return value
    kept = [1 if i in axes else size for i, size in enumerate(shape)]
    return tf.reshape(value, kept)


def positive_axes(axes: Value, rank: int) -> list[int]:
    """Return the axes as sorted numbers from 0."""
    return sorted({int(axis) % rank for axis in np.atleast_1d(axes)})


def as_mask(condition: Value) -> Value:
    """Return 1.0 where true, 0.0 elsewhere."""
    return tf.cast(condition, tf.float32)


def is_product(value: Value) -> bool:
    """Whether the value is a BATCH_MATMUL's output, perhaps reshaped."""
    op = getattr(value, "op", None)
    while op is not None and op.type in ("Reshape", "Identity"):
        op = op.inputs[0].op
    return op is not None and op.type == "BatchMatMulV2"


def unfused(value: Value) -> Value:
    """Return the value so that no bound after it is fused into the product that made it.

    The converter (2.21) fuses RELU, RELU6 and clipping to [−1, 1] or [0, 1] into BATCH_MATMUL, which has no fused
    activation: the activation is lost, silently. LEAKY_RELU with a slope of one less one bit is the identity but for
    rounding and stands in the way; slope 1 itself would be folded.
    """
    return tf.nn.leaky_relu(value, 1.0 - 2.0**-24) if is_product(value) else value


def dilate(value: Value, axis: int, stride: int) -> Value:
    """Put `stride - 1` zeros after every element along `axis`."""
    if stride == 1:
        return value
    shape = list(shape_of(value))
    before, size, after = int(np.prod(shape[:axis])), shape[axis], int(np.prod(shape[axis + 1 :]))
    # a rank-3 PAD is in every runtime; a rank-5 one is not
    spaced = tf.pad(tf.reshape(value, [before * size, 1, after]), [[0, 0], [0, stride - 1], [0, 0]])
    shape[axis] = size * stride
    return tf.reshape(spaced, shape)


def fit(value: Value, axis: int, before: int, size: int) -> Value:
    """Shift `value` right by `before` along `axis` and cut or zero-fill it to `size`."""
    shape = list(shape_of(value))
    if before < 0:
        begin, have = -before, shape[axis] + before
        before = 0
    else:
        begin, have = 0, shape[axis]
    have = min(have, size - before)
    if have != shape[axis]:
        starts, sizes = [0] * len(shape), list(shape)
        starts[axis], sizes[axis] = begin, have
        value = tf.slice(value, starts, sizes)
    after = size - before - have
    if before or after:
        paddings = [[0, 0]] * len(shape)
        paddings[axis] = [before, after]
        value = tf.pad(value, paddings)
    return value
