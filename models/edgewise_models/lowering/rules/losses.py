"""The fused cross-entropies."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgewise_models.lowering.call import Call
from edgewise_models.lowering.registry import NEVER_FOLDED, backward, composed, forward
from edgewise_models.lowering.rules._cotangents import SoftmaxGap
from edgewise_models.lowering.values import Value, shape_of
from edgewise_models.tensorflow import tf

TINY = 1e-37  # below it float32 has no inverse
MANY_CLASSES = 1024


@forward("SoftmaxCrossEntropyWithLogits")
def cross_entropy(call: Call) -> list[Value]:
    """−Σ labels·log softmax(logits) per row."""
    logits, labels = call.inputs
    log = tf.nn.log_softmax(logits)
    call.saved = log
    return [-tf.reduce_sum(labels * log, -1), tf.exp(log) - labels]


@backward("SoftmaxCrossEntropyWithLogits")
def cross_entropy_gradient(call: Call, d: Value, *_: Value) -> list[Value]:
    """(softmax·Σ labels − labels)·d; −log softmax·d to the labels."""
    labels = call.inputs[1]
    d = tf.expand_dims(d, -1)
    mass = tf.reduce_sum(labels, -1, keepdims=True)
    return [(tf.exp(call.saved) * mass - labels) * d, -call.saved * d if call.needs[1] else None]


@forward("SparseSoftmaxCrossEntropyWithLogits")
def sparse_cross_entropy(call: Call) -> list[Value]:
    """−log softmax(logits)[label] per row.

    Over many classes −log P[label] from the softmax that the gradient needs anyway: one pass of exp, not two. It ends
    at 85, where P does in float32; the gradient does not depend on that.
    """
    logits, labels = call.inputs
    rows, classes = shape_of(logits)
    labels = labels if labels.dtype == tf.int32 else tf.cast(labels, tf.int32)
    places = tf.stack([np.arange(rows, dtype=np.int32), labels], 1)
    if classes > MANY_CLASSES:
        softmax = tf.nn.softmax(logits)
        loss = -tf.math.log(tf.maximum(tf.gather_nd(softmax, places), TINY))
    else:
        log = tf.nn.log_softmax(logits)
        softmax = tf.exp(log)
        loss = -tf.gather_nd(log, places)
    call.saved = softmax, labels
    return [loss, softmax]


@backward("SparseSoftmaxCrossEntropyWithLogits")
def sparse_cross_entropy_gradient(call: Call, d: Value, *_: Value) -> list[Any]:
    """(softmax − onehot)·d, not written out."""
    softmax, labels = call.saved
    return [SoftmaxGap(call.player, softmax, labels, tf.expand_dims(d, 1), shape_of(softmax)), None]


@composed("NoOp", "Assert", "ControlTrigger")
def nothing(call: Call) -> Any:
    """Checks are the author's; the file has none."""
    return []


NEVER_FOLDED.update({"NoOp", "Assert"})
