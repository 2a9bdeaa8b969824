"""Resized images: a linear map along height and along width, so its gradient is the two maps' transposes."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgewise_models.lowering.call import Call
from edgewise_models.lowering.registry import backward
from edgewise_models.lowering.rules.shapes import along_axis
from edgewise_models.lowering.values import Value, shape_of
from edgewise_models.tensorflow import tf


@backward("ResizeNearestNeighbor", "ResizeBilinear")
def resize_gradient(call: Call, d: Value) -> list[Any]:
    """Multiply by the transposed maps, which the operator itself gives when it resizes an identity matrix."""
    for axis in (1, 2):
        d = along_axis(d, _map(call, shape_of(call.x)[axis], shape_of(call.y)[axis]), axis)
    return [d, None]


def _map(call: Call, before: int, after: int) -> Value:
    with tf.init_scope():
        made = getattr(tf.raw_ops, call.type)(
            images=np.eye(before, dtype=np.float32)[None, :, :, None],
            size=[after, before],
            align_corners=bool(call.attrs["align_corners"]),
            half_pixel_centers=bool(call.attrs["half_pixel_centers"]),
        )
    return made.numpy()[0, :, :, 0]
