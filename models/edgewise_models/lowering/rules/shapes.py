"""Operators that move numbers without changing them; their gradients move them back."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from edgewise_models.lowering.backprop import dense, structured
from edgewise_models.lowering.call import Call
from edgewise_models.lowering.registry import NEVER_FOLDED, backward, composed, forward
from edgewise_models.lowering.rules._cotangents import SoftmaxGap
from edgewise_models.lowering.rules._sums import dilate, fit, unbroadcast
from edgewise_models.lowering.values import TensorList, Value, is_known, shape_of
from edgewise_models.tensorflow import tf


@composed("Const")
def const(call: Call) -> list[Value]:
    """Known."""
    return [np.asarray(tf.make_ndarray(call.attrs["value"]))]


@forward("Identity", "Snapshot", "EnsureShape", "CheckNumerics")
def same(call: Call) -> Value:
    """The value itself: no operator at all."""
    return call.x


@forward("StopGradient", "PreventGradient")
def stopped(call: Call) -> Value:
    """A value of its own, so that no cotangent meets the original."""
    return call.x if is_known(call.x) else tf.identity(call.x)


@forward("Shape", "ShapeN")
def shape(call: Call) -> Any:
    """Known, because the batch is fixed."""
    dtype = tf.as_dtype(call.attrs.get("out_type", tf.int32)).as_numpy_dtype
    return [np.asarray(shape_of(value), dtype) for value in call.inputs]


@forward("Size")
def size(call: Call) -> Value:
    """Known as well."""
    return np.asarray(int(np.prod(call.shape())), tf.as_dtype(call.attrs.get("out_type", tf.int32)).as_numpy_dtype)


@forward("Rank")
def rank(call: Call) -> Value:
    """Known as well."""
    return np.asarray(len(call.shape()), np.int32)


@forward("ZerosLike", "OnesLike")
def filled(call: Call) -> Any:
    """A list of zeros for a list; for a tensor, a constant spread over its shape."""
    if isinstance(call.x, TensorList):
        return call.x
    number = 0 if call.type == "ZerosLike" else 1
    dtype = tf.as_dtype(call.x.dtype)
    return spread_constant(np.asarray(number, dtype.as_numpy_dtype), call.shape(), call)


@forward("Fill")
def fill(call: Call) -> Value:
    """A constant spread over a shape."""
    dims, number = call.inputs
    return spread_constant(number, [int(n) for n in call.known(0, "the shape")], call) if is_known(dims) else None


def spread_constant(number: Value, shape: Any, call: Call) -> Value:
    """Return `number` in `shape`: known if small, else written so that no large constant is stored."""
    if is_known(number) and int(np.prod(shape)) <= 4096:
        return np.full(shape, number)
    return tf.broadcast_to(number, shape)


@backward("Fill")
def fill_gradient(call: Call, d: Value) -> list[Value]:
    """The sum."""
    return [None, tf.reduce_sum(d)]


@forward("Reshape", "Squeeze", "ExpandDims")
def reshape(call: Call) -> Value:
    """All three are one RESHAPE, and none where the shape stays."""
    target = _target_shape(call)
    if shape_of(call.x) == target:
        return call.x
    return tf.reshape(call.x, target)


def _target_shape(call: Call) -> tuple[int, ...]:
    have = call.shape()
    if call.type == "Reshape":
        want = [int(n) for n in call.known(1, "the shape")]
        if -1 in want:
            want[want.index(-1)] = int(np.prod(have)) // max(1, -int(np.prod(want)))
        return tuple(want)
    if call.type == "ExpandDims":
        axis = int(call.known(1, "the axis"))
        axis = axis % (len(have) + 1)
        return (*have[:axis], 1, *have[axis:])
    axes = call.attrs.get("squeeze_dims") or call.attrs.get("axis") or []
    gone = {axis % len(have) for axis in axes} if axes else {i for i, n in enumerate(have) if n == 1}
    return tuple(n for i, n in enumerate(have) if i not in gone)


@backward("Reshape", "Squeeze", "ExpandDims")
@structured
def reshape_gradient(call: Call, d: Any) -> list[Any]:
    """Reshape back."""
    kept = d.reshaped(call.shape()) if isinstance(d, SoftmaxGap) else None
    return [tf.reshape(dense(d), call.shape()) if kept is None else kept]


@backward("Transpose")
def transpose_gradient(call: Call, d: Value) -> list[Value]:
    """Transpose back."""
    return [tf.transpose(d, np.argsort(call.known(1, "the permutation")))]


@backward("BroadcastTo")
def broadcast_gradient(call: Call, d: Value) -> list[Value]:
    """Sum back."""
    return [unbroadcast(d, call.shape())]


@backward("Tile")
def tile_gradient(call: Call, d: Value) -> list[Value]:
    """Sum over the copies, one axis at a time (no reshape above rank 4)."""
    for axis, (copies, size) in enumerate(zip(call.known(1, "the multiples"), call.shape(), strict=True)):
        if copies > 1:
            have = shape_of(d)
            before, after = int(np.prod(have[:axis])), int(np.prod(have[axis + 1 :]))
            d = tf.reduce_sum(tf.reshape(d, [before, int(copies), size * after]), 1)
            d = tf.reshape(d, [*have[:axis], size, *have[axis + 1 :]])
    return [d]


@backward("ReverseV2")
def reverse_gradient(call: Call, d: Value) -> list[Value]:
    """Reverse back."""
    return [tf.reverse(d, call.known(1, "the axes"))]


@forward("ReverseV2")
def reverse(call: Call) -> Value:
    """REVERSE_V2 takes one axis at a time."""
    out = call.x
    for axis in call.known(1, "the axes"):
        out = tf.reverse(out, [int(axis)])
    return out


@backward("ConcatV2", "Concat")
def concat_gradient(call: Call, d: Value) -> list[Value]:
    """Cut the cotangent up."""
    values, axis = (call.inputs[:-1], -1) if call.type == "ConcatV2" else (call.inputs[1:], 0)
    axis = int(call.inputs[axis]) % len(shape_of(values[0]))
    pieces = _cut(d, [shape_of(v)[axis] for v in values], axis)
    return [*pieces, None] if call.type == "ConcatV2" else [None, *pieces]


def _cut(value: Value, sizes: list[int], axis: int) -> list[Value]:
    if len(sizes) == 1:
        return [value]
    if len(set(sizes)) == 1:
        return list(tf.split(value, len(sizes), axis))
    return list(tf.split(value, sizes, axis))


@backward("Pack")
def pack_gradient(call: Call, *cotangents: Value) -> list[Value]:
    """Unstack."""
    axis = int(call.attrs["axis"])
    return list(tf.unstack(cotangents[0], len(call.inputs), axis))


@backward("Unpack")
def unpack_gradient(call: Call, *cotangents: Value) -> list[Value]:
    """Stack, with zeros where an output went unused."""
    return [tf.stack(_no_gaps(call, cotangents), int(call.attrs["axis"]))]


@backward("Split")
def split_gradient(call: Call, *cotangents: Value) -> list[Value]:
    """Join."""
    return [None, tf.concat(_no_gaps(call, cotangents), int(call.inputs[0]))]


@backward("SplitV")
def split_v_gradient(call: Call, *cotangents: Value) -> list[Value]:
    """Join."""
    return [tf.concat(_no_gaps(call, cotangents), int(call.inputs[2]))]


def _no_gaps(call: Call, cotangents: tuple[Value, ...]) -> list[Value]:
    return [tf.zeros_like(out) if d is None else d for d, out in zip(cotangents, call.outputs, strict=True)]


@forward("IdentityN")
def identity_n(call: Call) -> list[Value]:
    """The values; those with an author's gradient get operators of their own, so that it is met on the way back."""
    if not _custom(call):
        return list(call.inputs)
    call.saved = call.player.scopes
    return [tf.identity(v) if isinstance(v, tf.Tensor) else v for v in call.inputs]


def _custom(call: Call) -> str | None:
    return call.attrs.get("_gradient_op_type") if call.source is not None else None


@backward("IdentityN")
def identity_n_gradient(call: Call, *cotangents: Value) -> list[Value]:
    """The author's own gradient (`tf.custom_gradient`), traced and played."""
    from tensorflow.python.framework import ops

    name = _custom(call)
    function = ops._gradient_registry.lookup(name.decode() if isinstance(name, bytes) else name)
    holes: list[bool] = []

    def build() -> list[Value]:
        made = function(call.source, *_no_gaps(call, cotangents))
        holes[:] = [g is None for g in made]
        return [g for g in made if g is not None]

    played = iter(call.player.trace_and_play(build, f"gradient/{call.name}", within=call))
    return [None if hole else next(played) for hole in holes]


# Slices and paddings


@backward("Slice")
def slice_gradient(call: Call, d: Value) -> list[Value]:
    """Zeros around it."""
    begin = call.known(1, "the start of the slice")
    for axis, size in enumerate(call.shape()):
        d = fit(d, axis, int(begin[axis]), size)
    return [d]


@backward("StridedSlice")
def strided_slice_gradient(call: Call, d: Value) -> list[Value]:
    """Spread by the stride, turn where it is negative, zeros around it."""
    spans = _spans(call)
    d = tf.reshape(d, [len(range(*span)) for span in spans])
    for axis, ((start, stop, stride), size) in enumerate(zip(spans, call.shape(), strict=True)):
        count = len(range(start, stop, stride))
        if stride < 0:
            d = tf.reverse(d, [axis])
            start = start + (count - 1) * stride
        d = fit(dilate(d, axis, abs(stride)), axis, start, size)
    return [d]


def _spans(call: Call) -> list[tuple[int, int, int]]:
    """Return (start, stop, stride) on every input axis; NumPy's own slicing rules decide."""
    begin, end, strides = (call.known(i, "the bounds of the slice").tolist() for i in (1, 2, 3))
    masks = {name: int(call.attrs[f"{name}_mask"]) for name in ("begin", "end", "ellipsis", "new_axis", "shrink_axis")}
    shape = call.shape()
    spans: list[tuple[int, int, int]] = []
    for i in range(len(begin)):
        if masks["ellipsis"] >> i & 1:
            after = sum(1 for j in range(i + 1, len(begin)) if not masks["new_axis"] >> j & 1)
            while len(spans) < len(shape) - after:
                spans.append((0, shape[len(spans)], 1))
        elif masks["new_axis"] >> i & 1:
            continue
        else:
            size = shape[len(spans)]
            if masks["shrink_axis"] >> i & 1:
                at = begin[i] % size
                spans.append((at, at + 1, 1))
            else:
                first = None if masks["begin"] >> i & 1 else begin[i]
                last = None if masks["end"] >> i & 1 else end[i]
                spans.append(slice(first, last, strides[i]).indices(size))
    spans += [(0, size, 1) for size in shape[len(spans) :]]
    return spans


@forward("StridedSlice")
def strided_slice(call: Call) -> Value:
    """SLICE where all strides are 1, which XNNPACK knows; else the operator without its masks."""
    if not all(is_known(v) for v in call.inputs[1:]):
        raise call.refuse("the bounds of the slice depend on the data", "use tf.gather, or constant bounds")
    spans = _spans(call)
    out = call.x
    target = _sliced_shape(call, spans)
    if all(stride == 1 for _, _, stride in spans):
        sizes = [max(0, stop - start) for start, stop, _ in spans]
        if sizes != list(call.shape()):
            out = tf.slice(out, [start for start, _, _ in spans], sizes)
    else:
        begin, end, strides = zip(*spans, strict=True)
        ends = [stop if stop >= 0 else -(call.shape()[i] + 1) for i, stop in enumerate(end)]
        out = tf.raw_ops.StridedSlice(input=out, begin=list(begin), end=ends, strides=list(strides))
    return out if shape_of(out) == target else tf.reshape(out, target)


def _sliced_shape(call: Call, spans: list[tuple[int, int, int]]) -> tuple[int, ...]:
    probe = np.zeros(call.shape(), np.bool_)
    with tf.init_scope():
        made = tf.raw_ops.StridedSlice(
            input=np.broadcast_to(probe, call.shape()),
            begin=call.inputs[1],
            end=call.inputs[2],
            strides=call.inputs[3],
            **{f"{m}_mask": call.attrs[f"{m}_mask"] for m in ("begin", "end", "ellipsis", "new_axis", "shrink_axis")},
        )
    return tuple(made.shape.as_list())


@backward("Pad", "PadV2")
def pad_gradient(call: Call, d: Value) -> list[Value]:
    """The middle."""
    begin = [int(row[0]) for row in call.known(1, "the padding")]
    return [tf.slice(d, begin, call.shape())]


@forward("MirrorPad")
def mirror_pad(call: Call) -> Value:
    """A gather along every padded axis, with the mirrored positions as a constant."""
    out = call.x
    for axis, places in _mirror_places(call):
        out = tf.gather(out, places, axis=axis)
    return out


def _mirror_places(call: Call) -> list[tuple[int, Value]]:
    mode = call.attrs["mode"]
    mirror: Literal["reflect", "symmetric"] = "reflect" if mode in (b"REFLECT", "REFLECT") else "symmetric"
    paddings = call.known(1, "the padding")
    places = [np.arange(size, dtype=np.int32) for size in call.shape()]
    return [
        (axis, np.pad(line, tuple(paddings[axis]), mode=mirror))
        for axis, line in enumerate(places)
        if paddings[axis].any()
    ]


@backward("MirrorPad")
def mirror_pad_gradient(call: Call, d: Value) -> list[Value]:
    """Add every copy to what it mirrors: a product with a small 0/1 matrix on each padded axis."""
    for axis, places in reversed(_mirror_places(call)):
        matrix = np.zeros((len(places), call.shape()[axis]), np.float32)
        matrix[np.arange(len(places)), places] = 1.0
        d = along_axis(d, matrix, axis)
    return [d]


def along_axis(value: Value, matrix: Value, axis: int) -> Value:
    """Multiply `value` by a matrix [n, m] along one axis of size n."""
    have = shape_of(value)
    rank = len(have)
    order = [i for i in range(rank) if i != axis] + [axis]
    moved = tf.transpose(value, order) if order != list(range(rank)) else value
    flat = tf.reshape(moved, [-1, have[axis]])
    made = tf.reshape(tf.raw_ops.BatchMatMulV2(x=flat, y=matrix), [*[have[i] for i in order[:-1]], matrix.shape[1]])
    return tf.transpose(made, np.argsort(order)) if order != list(range(rank)) else made


@backward("SpaceToDepth")
def space_to_depth_gradient(call: Call, d: Value) -> Value:
    """DEPTH_TO_SPACE."""
    return tf.nn.depth_to_space(d, int(call.attrs["block_size"]))


@backward("DepthToSpace")
def depth_to_space_gradient(call: Call, d: Value) -> Value:
    """SPACE_TO_DEPTH."""
    return tf.nn.space_to_depth(d, int(call.attrs["block_size"]))


@forward("Roll")
def roll(call: Call) -> Value:
    """Two slices and a concat per axis: ROLL is not built in."""
    return _rolled(call.x, call.known(1, "the shift"), call.known(2, "the axis"))


@backward("Roll")
def roll_gradient(call: Call, d: Value) -> list[Value]:
    """Roll back."""
    return [_rolled(d, -call.known(1, "the shift"), call.known(2, "the axis"))]


def _rolled(value: Value, shifts: Value, axes: Value) -> Value:
    for shift, axis in zip(np.atleast_1d(shifts), np.atleast_1d(axes), strict=True):
        size = shape_of(value)[int(axis)]
        cut = int(-shift) % size
        if cut:
            left, right = tf.split(value, [cut, size - cut], int(axis))
            value = tf.concat([right, left], int(axis))
    return value


NEVER_FOLDED.update({"Const", "Identity", "Snapshot"})
