"""Convolutions and pooling as windows over the input.

TFLite has no operator for the gradient of a filter, and its convolutions run without XNNPACK once the filter is a
variable. While training, a convolution is therefore written as the product of its windows (im2col) with the filter: one
matrix product forward, two back, all on the fast path. Where no gradient is asked for, CONV_2D stays.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgewise_models.lowering.call import Call
from edgewise_models.lowering.registry import backward, composed, forward
from edgewise_models.lowering.rules._sums import as_mask, dilate, fit
from edgewise_models.lowering.values import Value, shape_of
from edgewise_models.tensorflow import tf


@dataclass(frozen=True)
class Windows:
    """Where a kernel looks: over an image [height, width], padded, with strides and holes."""

    image: tuple[int, int]
    kernel: tuple[int, int]
    strides: tuple[int, int]
    dilations: tuple[int, int]
    before: tuple[int, int]
    out: tuple[int, int]

    @classmethod
    def of(cls, call: Call, image: tuple[int, ...], kernel: tuple[int, ...]) -> Windows:
        """Read strides, dilations and padding from an operator's attributes."""
        strides = tuple(int(n) for n in call.attrs["strides"][1:3])
        dilations = tuple(int(n) for n in call.attrs.get("dilations", [1, 1, 1, 1])[1:3])
        padding = call.attrs["padding"]
        padding = padding.decode() if isinstance(padding, bytes) else padding
        before, out = [], []
        for axis in range(2):
            reach = (kernel[axis] - 1) * dilations[axis] + 1
            if padding == "SAME":
                count = -(-image[axis] // strides[axis])
                before.append(max(0, (count - 1) * strides[axis] + reach - image[axis]) // 2)
            else:
                pads = [0, 0]
                if padding == "EXPLICIT":
                    pads = [int(n) for n in call.attrs["explicit_paddings"][2 + 2 * axis : 4 + 2 * axis]]
                count = (image[axis] + sum(pads) - reach) // strides[axis] + 1
                before.append(pads[0])
            out.append(count)
        return cls(image, kernel, strides, dilations, tuple(before), tuple(out))  # type: ignore[arg-type]

    def taps(self) -> Iterator[tuple[int, int]]:
        """The kernel's places, row by row."""
        return itertools.product(range(self.kernel[0]), range(self.kernel[1]))

    def padded(self, value: Value, fill: float = 0.0) -> Value:
        """Return the image with all that the windows see around it."""
        paddings, changed = [[0, 0]], False
        for axis in range(2):
            reach = (self.kernel[axis] - 1) * self.dilations[axis] + 1
            after = (self.out[axis] - 1) * self.strides[axis] + reach - self.image[axis] - self.before[axis]
            paddings.append([self.before[axis], max(0, after)])
            changed = changed or self.before[axis] > 0 or after > 0
        return tf.pad(value, [*paddings, [0, 0]], constant_values=fill) if changed else value

    def see(self, padded: Value, tap: tuple[int, int]) -> Value:
        """Return what one tap sees in every window: [batch, out height, out width, channels]."""
        batch, *_, channels = shape_of(padded)
        begin = [0, *(t * d for t, d in zip(tap, self.dilations, strict=True)), 0]
        spans = [(n - 1) * s + 1 for n, s in zip(self.out, self.strides, strict=True)]
        end = [batch, *(b + n for b, n in zip(begin[1:3], spans, strict=True)), channels]
        if self.strides == (1, 1):
            sizes = [e - b for b, e in zip(begin, end, strict=True)]
            return padded if sizes == list(shape_of(padded)) else tf.slice(padded, begin, sizes)
        return tf.raw_ops.StridedSlice(input=padded, begin=begin, end=end, strides=[1, *self.strides, 1])

    def place(self, seen: Value, tap: tuple[int, int]) -> Value:
        """Put what one tap saw back where it came from, zeros elsewhere: the transpose of `see` and `padded`."""
        for axis in range(2):
            seen = dilate(seen, axis + 1, self.strides[axis])
            offset = tap[axis] * self.dilations[axis] - self.before[axis]
            seen = fit(seen, axis + 1, offset, self.image[axis])
        return seen

    @property
    def tiles(self) -> bool:
        """Whether the windows lie side by side without padding or holes."""
        return (
            self.kernel == self.strides
            and self.dilations == (1, 1)
            and self.before == (0, 0)
            and all(n * s <= size for n, s, size in zip(self.out, self.strides, self.image, strict=True))
        )

    def place_all(self, seen: list[Value]) -> Value:
        """The sum of `place` over all taps; windows side by side are woven together by concatenation."""
        if not self.tiles:
            total = self.place(seen[0], (0, 0))
            for value, tap in itertools.islice(zip(seen, self.taps(), strict=True), 1, None):
                total = total + self.place(value, tap)
            return total
        rows = []
        height, width = self.kernel
        batch, *_, channels = shape_of(seen[0])
        for row in range(height):
            taps = [tf.reshape(v, [-1, 1, channels]) for v in seen[row * width : (row + 1) * width]]
            line = tf.concat(taps, 1) if width > 1 else taps[0]
            rows.append(tf.reshape(line, [-1, 1, self.out[1] * width * channels]))
        woven = tf.concat(rows, 1) if height > 1 else rows[0]
        woven = tf.reshape(woven, [batch, self.out[0] * height, self.out[1] * width, channels])
        return fit(fit(woven, 1, 0, self.image[0]), 2, 0, self.image[1])


def _only_channels_last(call: Call) -> None:
    layout = call.attrs.get("data_format", b"NHWC")
    if layout not in (b"NHWC", "NHWC"):
        raise call.refuse("channels first", "use data_format='channels_last'")


def _training(call: Call) -> bool:
    return any(call.player.is_active(value) for value in call.inputs)


@composed("Conv2D")
def conv2d(call: Call) -> Any:
    """windows(x)·filter; a 1×1 convolution is a product of the pixels themselves."""
    _only_channels_last(call)
    (height, width, channels, filters), image = call.shape(1), call.shape()
    groups = image[3] // channels
    if groups > 1:
        return _grouped(call, groups)
    if not _training(call):
        return None
    windows = Windows.of(call, image[1:3], (height, width))
    emit, name = call.player.emit, call.name
    seen = emit("EdgewiseWindows", [call.x], name, windows=windows)[0]
    rows = emit("Reshape", [seen, np.array([-1, height * width * channels], np.int32)], name)[0]
    matrix = emit("Reshape", [call.inputs[1], np.array([height * width * channels, filters], np.int32)], name)[0]
    made = emit("MatMul", [rows, matrix], name, transpose_a=False, transpose_b=False)[0]
    return emit("Reshape", [made, np.array([image[0], *windows.out, filters], np.int32)], name)[0]


def _grouped(call: Call, groups: int) -> Value:
    emit, name = call.player.emit, call.name
    values = emit("Split", [np.int32(3), call.x], name, num_split=groups)
    filters = emit("Split", [np.int32(3), call.inputs[1]], name, num_split=groups)
    made = [emit("Conv2D", [v, f], name, **dict(call.attrs))[0] for v, f in zip(values, filters, strict=True)]
    return emit("ConcatV2", [*made, np.int32(3)], name, N=groups)[0]


@forward("EdgewiseWindows")
def windows_forward(call: Call) -> Value:
    """[batch, height, width, channels] to [batch, out height, out width, taps × channels]."""
    windows: Windows = call.attrs["windows"]
    padded = windows.padded(call.x)
    seen = [windows.see(padded, tap) for tap in windows.taps()]
    return tf.concat(seen, 3) if len(seen) > 1 else seen[0]


@backward("EdgewiseWindows")
def windows_gradient(call: Call, d: Value) -> Value:
    """Add everything back to where it was seen."""
    return _unseen(call.attrs["windows"], d)


def _unseen(windows: Windows, d: Value) -> Value:
    taps = len(list(windows.taps()))
    pieces = list(tf.split(d, taps, 3)) if taps > 1 else [d]
    return windows.place_all(pieces)


@forward("EdgewiseUnseen")
def unseen_forward(call: Call) -> Value:
    """The transpose of EdgewiseWindows."""
    return _unseen(call.attrs["windows"], call.x)


@backward("EdgewiseUnseen")
def unseen_gradient(call: Call, d: Value) -> Value:
    """EdgewiseWindows."""
    windows: Windows = call.attrs["windows"]
    padded = windows.padded(d)
    seen = [windows.see(padded, tap) for tap in windows.taps()]
    return tf.concat(seen, 3) if len(seen) > 1 else seen[0]


@composed("Conv2DBackpropInput")
def conv2d_transpose(call: Call) -> Any:
    """A transposed convolution: (x·filterᵀ) put back window by window."""
    _only_channels_last(call)
    size, (height, width, channels, filters) = call.known(0, "the output's size"), call.shape(1)
    value = call.inputs[2]
    if not any(call.player.is_active(v) for v in call.inputs[1:]) and tuple(call.attrs["dilations"]) == (1, 1, 1, 1):
        return None
    windows = Windows.of(call, (int(size[1]), int(size[2])), (height, width))
    emit, name = call.player.emit, call.name
    rows = emit("Reshape", [value, np.array([-1, filters], np.int32)], name)[0]
    matrix = emit("Reshape", [call.inputs[1], np.array([height * width * channels, filters], np.int32)], name)[0]
    made = emit("MatMul", [rows, matrix], name, transpose_a=False, transpose_b=True)[0]
    shape = [shape_of(value)[0], *windows.out, height * width * channels]
    made = emit("Reshape", [made, np.array(shape, np.int32)], name)[0]
    return emit("EdgewiseUnseen", [made], name, windows=windows)[0]


@composed("DepthwiseConv2dNative")
def depthwise(call: Call) -> Any:
    """Σ over taps of what the tap sees times its weights: elementwise work, which XNNPACK runs."""
    _only_channels_last(call)
    height, width, channels, multiplier = call.shape(1)
    if not _training(call):
        return None
    windows = Windows.of(call, call.shape()[1:3], (height, width))
    emit, name = call.player.emit, call.name
    value = call.x
    if multiplier > 1:
        repeated = np.repeat(np.arange(channels, dtype=np.int32), multiplier)
        value = emit("GatherV2", [value, repeated, np.int32(3)], name, batch_dims=0)[0]
    seen = emit("EdgewiseTaps", [value], name, windows=windows)
    flat = np.array([height * width, channels * multiplier], np.int32)
    weights = emit("Reshape", [call.inputs[1], flat], name)[0]
    weights = emit("Unpack", [weights], name, num=height * width, axis=0)
    total = emit("Mul", [seen[0], weights[0]], name)[0]
    for value, weight in zip(seen[1:], weights[1:], strict=True):
        total = emit("AddV2", [total, emit("Mul", [value, weight], name)[0]], name)[0]
    return total


@forward("EdgewiseTaps")
def taps_forward(call: Call) -> list[Value]:
    """What each tap sees, apart."""
    windows: Windows = call.attrs["windows"]
    padded = windows.padded(call.x)
    # a lone tap that sees everything is the input itself; the tape wants a value of its own
    return [tf.identity(s) if s is call.x else s for s in (windows.see(padded, tap) for tap in windows.taps())]


@backward("EdgewiseTaps")
def taps_gradient(call: Call, *cotangents: Value) -> Value:
    """Put each back."""
    filled = [tf.zeros_like(out) if d is None else d for d, out in zip(cotangents, call.outputs, strict=True)]
    return call.attrs["windows"].place_all(filled)


def _pool_windows(call: Call) -> Windows:
    _only_channels_last(call)
    kernel = tuple(int(n) for n in call.attrs["ksize"][1:3])
    return Windows.of(call, call.shape()[1:3], kernel)


@backward("MaxPool")
def max_pool_gradient(call: Call, d: Value) -> Value:
    """To the first place of each window that holds its maximum, as TensorFlow does."""
    windows = _pool_windows(call)
    padded = windows.padded(call.x, fill=-3.0e38)
    free: Value = None
    shares = []
    for tap in windows.taps():
        here = as_mask(tf.equal(windows.see(padded, tap), call.y))
        if free is not None:
            here = here * free
        free = 1.0 - here if free is None else free - here
        shares.append(here * d)
    return windows.place_all(shares)


@composed("AvgPool")
def avg_pool(call: Call) -> Any:
    """The operator itself; here only to refuse channels first."""
    _only_channels_last(call)
    return None


@backward("AvgPool")
def avg_pool_gradient(call: Call, d: Value) -> Value:
    """An equal share to every place that a window saw inside the image."""
    windows = _pool_windows(call)
    counts = [
        [sum(0 <= i * s + t * dil - b < size for t in range(k)) for i in range(out)]
        for out, k, s, dil, b, size in zip(
            windows.out, windows.kernel, windows.strides, windows.dilations, windows.before, windows.image, strict=True
        )
    ]
    share = 1.0 / np.outer(counts[0], counts[1]).astype(np.float32)
    d = d * (share[0, 0] if np.all(share == share[0, 0]) else share[None, :, :, None])
    return windows.place_all([d] * len(list(windows.taps())))


@composed("FusedBatchNormV3", "FusedBatchNormV2", "FusedBatchNorm")
def fused_batch_norm(call: Call) -> Any:
    """Batch normalization from means and products (Ioffe and Szegedy 2015, algorithm 1)."""
    _only_channels_last(call)
    emit, name = call.player.emit, call.name
    x, scale, offset, mean, variance = call.inputs[:5]
    unbiased = variance
    if call.attrs.get("is_training", True):
        axes = np.array([0, 1, 2], np.int32)
        mean = emit("Mean", [x, axes], name, keep_dims=False)[0]
        spread = emit("SquaredDifference", [x, mean], name)[0]
        variance = emit("Mean", [spread, axes], name, keep_dims=False)[0]
        count = float(np.prod(call.shape()[:3]))
        unbiased = emit("Mul", [variance, np.float32(count / max(count - 1.0, 1.0))], name)[0]
    epsilon = np.float32(call.attrs.get("epsilon", 1e-4))
    inverse = emit("Rsqrt", [emit("AddV2", [variance, epsilon], name)[0]], name)[0]
    factor = emit("Mul", [inverse, scale], name)[0]
    shift = emit("Sub", [offset, emit("Mul", [mean, factor], name)[0]], name)[0]
    out = emit("AddV2", [emit("Mul", [x, factor], name)[0], shift], name)[0]
    return [out, mean, unbiased, mean, variance, *([variance] if call.type == "FusedBatchNormV3" else [])]
