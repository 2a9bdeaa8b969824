"""Activation functions and their derivatives, from comparisons, exp and tanh."""

from __future__ import annotations

import math

from edgewise_models.lowering.call import Call
from edgewise_models.lowering.registry import backward, forward
from edgewise_models.lowering.rules._sums import as_mask, is_product
from edgewise_models.lowering.values import Value
from edgewise_models.tensorflow import tf

SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805  # Klambauer et al. 2017, eq. 14


@forward("Relu", "Relu6")
def relu(call: Call) -> Value:
    """max(x, 0), bounded by 6. Right after a product, LEAKY_RELU with slope 0 says the same: see `unfused`."""
    if not is_product(call.x):
        return tf.nn.relu(call.x) if call.type == "Relu" else tf.nn.relu6(call.x)
    y = tf.nn.leaky_relu(call.x, 0.0)
    return y if call.type == "Relu" else tf.minimum(y, 6.0)


@backward("Relu")
def relu_gradient(call: Call, d: Value) -> Value:
    """d where x > 0, and so where y > 0; y stays alive anyway."""
    return d * as_mask(tf.greater(call.y, 0.0))


@backward("Relu6")
def relu6_gradient(call: Call, d: Value) -> Value:
    """d where 0 < y < 6."""
    return d * as_mask(tf.greater(call.y, 0.0)) * as_mask(tf.less(call.y, 6.0))


@forward("ReluGrad")
def relu_grad(call: Call) -> Value:
    """TensorFlow's own operator, met where an author's gradient was traced."""
    return call.inputs[0] * as_mask(tf.greater(call.inputs[1], 0.0))


@backward("LeakyRelu")
def leaky_relu_gradient(call: Call, d: Value) -> Value:
    """d, or alpha·d where x ≤ 0."""
    alpha = float(call.attrs["alpha"])
    return d * (alpha + (1.0 - alpha) * as_mask(tf.greater(call.x, 0.0)))


@backward("Elu")
def elu_gradient(call: Call, d: Value) -> Value:
    """d, or d·exp(x) = d·(y + 1) where x < 0."""
    return d * (tf.minimum(call.y, 0.0) + 1.0)


@forward("Selu")
def selu(call: Call) -> Value:
    """scale·elu with alpha (Klambauer et al. 2017, eq. 2)."""
    negative = SELU_ALPHA * (tf.exp(tf.minimum(call.x, 0.0)) - 1.0)
    return SELU_SCALE * (tf.maximum(call.x, 0.0) + negative)


@backward("Selu")
def selu_gradient(call: Call, d: Value) -> Value:
    """d·scale, or d·scale·alpha·exp(x) = d·(y + scale·alpha) where x < 0."""
    below = as_mask(tf.less(call.x, 0.0))
    return d * (SELU_SCALE * (1.0 - below) + (call.y + SELU_SCALE * SELU_ALPHA) * below)


@forward("Softplus")
def softplus(call: Call) -> Value:
    """max(x, 0) + log(1 + exp(−|x|)): no overflow."""
    return tf.maximum(call.x, 0.0) + tf.math.log(1.0 + tf.exp(-tf.abs(call.x)))


@backward("Softplus")
def softplus_gradient(call: Call, d: Value) -> Value:
    """d·sigmoid(x)."""
    return d * tf.sigmoid(call.x)


@forward("Softsign")
def softsign(call: Call) -> Value:
    """x/(1 + |x|)."""
    call.saved = 1.0 + tf.abs(call.x)
    return call.x / call.saved


@backward("Softsign")
def softsign_gradient(call: Call, d: Value) -> Value:
    """d/(1 + |x|)²."""
    return d / (call.saved * call.saved)


@backward("Sigmoid")
def sigmoid_gradient(call: Call, d: Value) -> Value:
    """d·y(1 − y)."""
    return d * (call.y - call.y * call.y)


@backward("Tanh")
def tanh_gradient(call: Call, d: Value) -> Value:
    """d·(1 − y²)."""
    return d - d * call.y * call.y


@forward("SigmoidGrad")
def sigmoid_grad(call: Call) -> Value:
    """dy·y(1 − y)."""
    y, d = call.inputs
    return d * (y - y * y)


@forward("TanhGrad")
def tanh_grad(call: Call) -> Value:
    """dy·(1 − y²)."""
    y, d = call.inputs
    return d - d * y * y


@forward("Erf")
def erf(call: Call) -> Value:
    """Abramowitz and Stegun 7.1.26, error at most 1.5e-7; ERF is in no runtime of the fleet."""
    p, a = 0.3275911, (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429)
    size = tf.abs(call.x)
    t = 1.0 / (1.0 + p * size)
    polynomial = t * (a[0] + t * (a[1] + t * (a[2] + t * (a[3] + t * a[4]))))
    sign = as_mask(tf.greater(call.x, 0.0)) - as_mask(tf.less(call.x, 0.0))
    return sign * (1.0 - polynomial * tf.exp(-size * size))


@backward("Erf")
def erf_gradient(call: Call, d: Value) -> Value:
    """d·2/√π·exp(−x²)."""
    return d * (2.0 / math.sqrt(math.pi)) * tf.exp(-call.x * call.x)


@forward("Erfc")
def erfc(call: Call) -> Value:
    """1 − erf(x)."""
    return 1.0 - erf(call)


@backward("Erfc")
def erfc_gradient(call: Call, d: Value) -> Value:
    """The negative of erf's."""
    return -erf_gradient(call, d)


@backward("Softmax")
def softmax_gradient(call: Call, d: Value) -> Value:
    """(d − Σ d·y)·y over the last axis."""
    scaled = d * call.y
    return scaled - call.y * tf.reduce_sum(scaled, -1, keepdims=True)


@backward("LogSoftmax")
def log_softmax_gradient(call: Call, d: Value) -> Value:
    """d − softmax(x)·Σ d."""
    return d - tf.exp(call.y) * tf.reduce_sum(d, -1, keepdims=True)
