"""Arithmetic, one element at a time: d f(x, y) = f_x dx + f_y dy, summed where an input was broadcast."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from edgewise_models.lowering.call import Call
from edgewise_models.lowering.registry import backward, composed, forward
from edgewise_models.lowering.rules._sums import as_mask, unbroadcast, unfused
from edgewise_models.lowering.values import BitsOf, Value, is_known
from edgewise_models.tensorflow import tf


def _both(call: Call, dx: Callable[[], Value], dy: Callable[[], Value]) -> list[Value]:
    makers = (dx, dy)
    return [unbroadcast(make(), call.shape(i)) if call.needs[i] else None for i, make in enumerate(makers)]


@backward("Sub")
def sub_gradient(call: Call, d: Value) -> list[Value]:
    """Pass it on, and negated."""
    return _both(call, lambda: d, lambda: -d)


@backward("Mul", "MulNoNan")
def mul_gradient(call: Call, d: Value) -> list[Value]:
    """d(xy) = y dx + x dy."""
    x, y = call.inputs
    return _both(call, lambda: d * y, lambda: d * x)


@backward("RealDiv", "Div")
def div_gradient(call: Call, d: Value) -> list[Value]:
    """d(x/y) = dx/y − (x/y) dy/y."""
    y = call.inputs[1]
    return _both(call, lambda: d / y, lambda: -d * call.y / y)


@forward("DivNoNan")
def div_no_nan(call: Call) -> Value:
    """x/y, and 0 where y is 0."""
    x, y = call.inputs
    zero = tf.equal(y, 0.0)
    call.saved = tf.where(zero, tf.ones_like(y), y)
    return (1.0 - as_mask(zero)) * (x / call.saved)


@backward("DivNoNan")
def div_no_nan_gradient(call: Call, d: Value) -> list[Value]:
    """As of x/y, and 0 where y is 0."""
    d = d * (1.0 - as_mask(tf.equal(call.inputs[1], 0.0)))
    return _both(call, lambda: d / call.saved, lambda: -d * call.y / call.saved)


@forward("MulNoNan")
def mul_no_nan(call: Call) -> Value:
    """x·y; the weights of a model are finite, so 0·∞ does not arise."""
    return call.inputs[0] * call.inputs[1]


@backward("AddN")
def add_n_gradient(call: Call, d: Value) -> list[Value]:
    """Pass the cotangent to each."""
    return [d] * len(call.inputs)


@forward("AddN")
def add_n(call: Call) -> Value:
    """Chained ADDs: ADD_N is outside XNNPACK."""
    out = call.inputs[0]
    for other in call.inputs[1:]:
        out = out + other
    return tf.identity(out) if len(call.inputs) == 1 else out


@backward("FloorMod")
def floor_mod_gradient(call: Call, d: Value) -> list[Value]:
    """d(x mod y) = dx − ⌊x/y⌋ dy."""
    x, y = call.inputs
    return _both(call, lambda: d, lambda: -d * tf.floor(x / y))


@backward("Maximum")
def maximum_gradient(call: Call, d: Value) -> list[Value]:
    """To the larger; to x where they are equal, as TensorFlow does."""
    x, y = call.inputs
    mask = as_mask(tf.greater_equal(x, y))
    return _both(call, lambda: d * mask, lambda: d * (1.0 - mask))


@backward("Minimum")
def minimum_gradient(call: Call, d: Value) -> list[Value]:
    """To the smaller; to x where they are equal, as TensorFlow does."""
    x, y = call.inputs
    mask = as_mask(tf.less_equal(x, y))
    return _both(call, lambda: d * mask, lambda: d * (1.0 - mask))


@backward("SquaredDifference")
def squared_difference_gradient(call: Call, d: Value) -> list[Value]:
    """d(x−y)² = 2(x−y)(dx − dy)."""
    x, y = call.inputs
    scaled = 2.0 * d * (x - y)
    return _both(call, lambda: scaled, lambda: -scaled)


@backward("Pow")
def pow_gradient(call: Call, d: Value) -> list[Value]:
    """d(x^y) = y x^(y−1) dx + x^y log x dy, the second only where x > 0."""
    x, y = call.inputs

    def to_exponent() -> Value:
        positive = tf.greater(x, 0.0)
        log = tf.math.log(tf.where(positive, x, tf.ones_like(x)))
        return d * call.y * log * as_mask(positive)

    return _both(call, lambda: d * y * tf.pow(x, y - 1.0), to_exponent)


@backward("Neg")
def neg_gradient(call: Call, d: Value) -> Value:
    """−d."""
    return -d


@backward("Exp")
def exp_gradient(call: Call, d: Value) -> Value:
    """d·exp(x)."""
    return d * call.y


@backward("Log")
def log_gradient(call: Call, d: Value) -> Value:
    """d/x."""
    return d / call.x


@forward("Log1p")
def log1p(call: Call) -> Value:
    """log(1 + x): exact to float32's rounding of 1 + x."""
    return tf.math.log(1.0 + call.x)


@backward("Log1p")
def log1p_gradient(call: Call, d: Value) -> Value:
    """d/(1 + x)."""
    return d / (1.0 + call.x)


@forward("Expm1")
def expm1(call: Call) -> Value:
    """exp(x) − 1: exact to float32's rounding of exp(x)."""
    return tf.exp(call.x) - 1.0


@backward("Expm1")
def expm1_gradient(call: Call, d: Value) -> Value:
    """d·exp(x)."""
    return d * (call.y + 1.0)


@backward("Sqrt")
def sqrt_gradient(call: Call, d: Value) -> Value:
    """d/(2√x)."""
    return 0.5 * d / call.y


@backward("Rsqrt")
def rsqrt_gradient(call: Call, d: Value) -> Value:
    """−d·x^(−3/2)/2."""
    return -0.5 * d * call.y * call.y * call.y


@backward("Square")
def square_gradient(call: Call, d: Value) -> Value:
    """2x·d."""
    return 2.0 * d * call.x


@forward("Reciprocal", "Inv")
def reciprocal(call: Call) -> Value:
    """1/x."""
    return 1.0 / call.x


@backward("Reciprocal", "Inv")
def reciprocal_gradient(call: Call, d: Value) -> Value:
    """−d/x²."""
    return -d * call.y * call.y


@backward("Abs")
def abs_gradient(call: Call, d: Value) -> Value:
    """d·sign(x), 0 at 0."""
    return d * sign_of(call.x)


def sign_of(x: Value) -> Value:
    """−1, 0 or 1 from comparisons: SIGN is not in the 2.14 runtime for float32 everywhere."""
    return as_mask(tf.greater(x, 0.0)) - as_mask(tf.less(x, 0.0))


@forward("Sign")
def sign(call: Call) -> Value:
    """−1, 0 or 1."""
    return sign_of(call.x)


@backward("Sign", "Floor", "Ceil", "Round", "Rint", "FloorDiv", "ZerosLike", "OnesLike")
def flat_gradient(call: Call, d: Value) -> Any:
    """Flat almost everywhere."""
    return [None] * len(call.inputs)


@forward("Rint")
def rint(call: Call) -> Value:
    """Round half to even."""
    return tf.round(call.x)


@backward("Sin")
def sin_gradient(call: Call, d: Value) -> Value:
    """d·cos x."""
    return d * tf.cos(call.x)


@backward("Cos")
def cos_gradient(call: Call, d: Value) -> Value:
    """−d·sin x."""
    return -d * tf.sin(call.x)


@backward("Select", "SelectV2")
def select_gradient(call: Call, d: Value) -> list[Value]:
    """To the branch that was taken."""
    condition, zero = call.inputs[0], tf.zeros_like(d)
    return [
        None,
        unbroadcast(tf.where(condition, d, zero), call.shape(1)) if call.needs[1] else None,
        unbroadcast(tf.where(condition, zero, d), call.shape(2)) if call.needs[2] else None,
    ]


@forward("Select")
def select(call: Call) -> Value:
    """As SelectV2; the old form's row condition is given its trailing axes."""
    condition, x, y = call.inputs
    missing = len(call.shape(1)) - len(call.shape(0))
    if missing and len(call.shape(0)) == 1:
        condition = tf.reshape(condition, [*call.shape(0), *[1] * missing])
    return tf.where(condition, x, y)


@forward("ClipByValue")
def clip(call: Call) -> Value:
    """min(max(x, low), high)."""
    x, low, high = call.inputs
    return tf.minimum(tf.maximum(unfused(x), low), high)


@forward("Maximum", "Minimum")
def bound(call: Call) -> Value:
    """The operator; a constant bound is kept from being fused into a product."""
    x, y = call.inputs
    if is_known(y):
        x = unfused(x)
    elif is_known(x):
        y = unfused(y)
    return tf.maximum(x, y) if call.type == "Maximum" else tf.minimum(x, y)


@backward("ClipByValue")
def clip_gradient(call: Call, d: Value) -> list[Value]:
    """To x inside the bounds, which are constants here."""
    x, low, high = call.inputs
    inside = as_mask(tf.greater_equal(x, low)) * as_mask(tf.less_equal(x, high))
    return [unbroadcast(d * inside, call.shape()), None, None]


@forward("Xlogy", "Xlog1py")
def xlogy(call: Call) -> Value:
    """x·log y (y + 1 for Xlog1py), and 0 where x is 0."""
    x, y = call.inputs
    y = 1.0 + y if call.type == "Xlog1py" else y
    zero = tf.equal(x, 0.0)
    call.saved = tf.math.log(tf.where(zero, tf.ones_like(y), y)), y
    return x * call.saved[0]


@backward("Xlogy", "Xlog1py")
def xlogy_gradient(call: Call, d: Value) -> list[Value]:
    """log y dx + x/y dy."""
    log, y = call.saved
    return _both(call, lambda: d * log, lambda: d * call.x / y)


@forward("Xdivy")
def xdivy(call: Call) -> Value:
    """x/y, and 0 where x is 0."""
    x, y = call.inputs
    call.saved = tf.where(tf.equal(x, 0.0), tf.ones_like(y), y)
    return x / call.saved


@backward("Xdivy")
def xdivy_gradient(call: Call, d: Value) -> list[Value]:
    """As of x/y."""
    return _both(call, lambda: d / call.saved, lambda: -d * call.y / call.saved)


@backward("Cast")
def cast_gradient(call: Call, d: Value) -> Value:
    """Cast back; numbers that are not floats have no gradient."""
    return tf.cast(d, call.x.dtype) if tf.as_dtype(call.x.dtype).is_floating else None


@composed("Bitcast")
def bitcast(call: Call) -> Any:
    """A float as its bits: Keras asks for the sign of −0.0 that way."""
    if tf.as_dtype(call.x.dtype) != tf.float32:
        raise call.refuse("bits of numbers that are not float32", "cast instead")
    return [BitsOf(call.x)]


@composed("BitwiseAnd")
def sign_bit(call: Call) -> Any:
    """The sign bit: set where x < 0 (−0.0 counts as 0)."""
    bits, mask = call.inputs
    if not isinstance(bits, BitsOf) or not is_known(mask) or int(mask) != INT32_MIN:
        return None
    negative = call.player.emit("Less", [bits.value, np.float32(0)], call.name)[0]
    return call.player.emit("SelectV2", [negative, np.int32(INT32_MIN), np.int32(0)], call.name)


INT32_MIN = -(2**31)


@composed("Sinh", "Cosh")
def hyperbolic(call: Call) -> list[Value]:
    """(exp x ∓ exp −x) / 2."""
    emit, name = call.player.emit, call.name
    up = emit("Exp", [call.x], name)[0]
    down = emit("Exp", emit("Neg", [call.x], name), name)[0]
    both = emit("Sub" if call.type == "Sinh" else "AddV2", [up, down], name)[0]
    return emit("Mul", [both, np.float32(0.5)], name)


@composed("Tan")
def tangent(call: Call) -> list[Value]:
    """sin x / cos x."""
    emit, name = call.player.emit, call.name
    return emit("RealDiv", [emit("Sin", [call.x], name)[0], emit("Cos", [call.x], name)[0]], name)
