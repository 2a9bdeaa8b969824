"""The values that flow through a played graph: known numbers, tensors, variables and unrolled lists.

Most of what TensorFlow computes about shapes is known once the batch is fixed. Such values stay NumPy arrays while the
graph is played, so that loops unroll, branches are chosen and no shape arithmetic reaches the file.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from edgewise_models.tensorflow import tf

Value: TypeAlias = Any
"""A NumPy array (known), a `tf.Tensor` of the graph being written, a `VariableRef` or a `TensorList`."""

FOLD_LIMIT = 4096
"""Elements: a known value above this is computed at run time, because as a constant it would swell the file."""


@dataclass(frozen=True, slots=True)
class VariableRef:
    """A variable by the handle under which the traced graph captured it."""

    variable: Any

    @property
    def key(self) -> int:
        """What the player files its current value under."""
        return id(self.variable)


@dataclass(slots=True)
class TensorList:
    """TensorFlow's list of tensors, held as the plain list it becomes once the loop around it is unrolled."""

    items: list[Value] = field(default_factory=list)
    element_shape: tuple[int, ...] | None = None
    dtype: Any = None


@dataclass(frozen=True, slots=True)
class BitsOf:
    """A float seen as its bits, of which only the sign can be asked."""

    value: Value


def is_known(value: Value) -> bool:
    """Whether the value's numbers are known while the graph is written."""
    return isinstance(value, (np.ndarray, np.generic))


def shape_of(value: Value) -> tuple[int, ...]:
    """Return the static shape; every dimension is known because the batch is fixed."""
    if is_known(value):
        return tuple(value.shape)
    return tuple(int(size) for size in value.shape.as_list())


def has_static_shape(value: Value) -> bool:
    """Whether every dimension is known."""
    return is_known(value) or (value.shape.rank is not None and None not in value.shape.as_list())


def dtype_of(value: Value) -> Any:
    """Return the `tf.DType`."""
    return tf.as_dtype(value.dtype)


def is_float(value: Value) -> bool:
    """Whether gradients flow through the value."""
    return not isinstance(value, (VariableRef, TensorList, BitsOf)) and bool(dtype_of(value).is_floating)
