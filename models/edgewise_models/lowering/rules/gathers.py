"""Gathers and scatters: each is the other's gradient."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgewise_models.lowering.call import Call
from edgewise_models.lowering.registry import backward, forward
from edgewise_models.lowering.rules._cotangents import Scattered
from edgewise_models.lowering.values import Value, shape_of
from edgewise_models.tensorflow import tf


@backward("GatherV2", "Gather", "ResourceGather")
def gather_gradient(call: Call, d: Value) -> list[Any]:
    """SCATTER_ND adds each row back to where it came from."""
    shape = call.shape()
    axis = int(call.inputs[2]) % len(shape) if len(call.inputs) > 2 else 0
    batch = int(call.attrs.get("batch_dims", 0) or 0)
    places = call.inputs[1]
    if batch:
        return [_batched_scatter(call, d, places, axis, batch)]
    if axis:
        count = len(shape_of(places))
        rank = len(shape_of(d))
        d = tf.transpose(d, [*range(axis, axis + count), *range(axis), *range(axis + count, rank)])
    rows = int(np.prod(shape_of(places)))
    rest = [*shape[:axis], *shape[axis + 1 :]]
    summed = Scattered([tf.reshape(places, [rows, 1])], [tf.reshape(d, [rows, *rest])], (shape[axis], *rest))
    if not axis:
        return [summed]
    return [tf.transpose(summed.dense(), [*range(1, axis + 1), 0, *range(axis + 1, len(shape))])]


def _batched_scatter(call: Call, d: Value, places: Value, axis: int, batch: int) -> Value:
    shape = call.shape()
    if axis != batch:
        raise call.refuse("a gather with batch_dims other than its axis", "move the gathered axis to the front")
    groups, size, rest = int(np.prod(shape[:batch])), shape[axis], list(shape[axis + 1 :])
    per = int(np.prod(shape_of(places))) // groups
    offsets = (np.arange(groups, dtype=np.int32) * size)[:, None]
    flat = tf.reshape(tf.cast(tf.reshape(places, [groups, per]), tf.int32) + offsets, [groups * per, 1])
    return tf.reshape(tf.scatter_nd(flat, tf.reshape(d, [groups * per, *rest]), [groups * size, *rest]), shape)


@forward("GatherV2", "Gather")
def gather(call: Call) -> Value:
    """GATHER, with the batch axes written into the positions (2.14 knows no batch_dims)."""
    axis = int(call.inputs[2]) if len(call.inputs) > 2 else 0
    batch = int(call.attrs.get("batch_dims", 0) or 0)
    axis = axis % len(call.shape())
    if not batch:
        return tf.gather(call.x, call.inputs[1], axis=axis)
    shape, places = call.shape(), call.inputs[1]
    if axis != batch:
        raise call.refuse("a gather with batch_dims other than its axis", "move the gathered axis to the front")
    groups, size = int(np.prod(shape[:batch])), shape[axis]
    per = int(np.prod(shape_of(places))) // groups
    offsets = (np.arange(groups, dtype=np.int32) * size)[:, None]
    flat = tf.reshape(tf.cast(tf.reshape(places, [groups, per]), tf.int32) + offsets, [groups * per])
    rows = tf.gather(tf.reshape(call.x, [groups * size, *shape[axis + 1 :]]), flat)
    return tf.reshape(rows, [*shape_of(places), *shape[axis + 1 :]])


@backward("GatherNd")
def gather_nd_gradient(call: Call, d: Value) -> list[Value]:
    """SCATTER_ND."""
    return [tf.scatter_nd(call.inputs[1], d, call.shape())]


@backward("ScatterNd")
def scatter_nd_gradient(call: Call, d: Value) -> list[Value]:
    """GATHER_ND."""
    return [None, tf.gather_nd(d, call.inputs[0])]
