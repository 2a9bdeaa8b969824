"""Weights and updates as both sides see them: names, order, bytes, and the small arithmetic on them.

`Weights` maps a weight's name to its array. What travels is one flat little-endian float32 vector: every averaged
weight (trainable ones and averaged state, never optimizer slots) in the manifest's order, C order inside each.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from edgewise_wire.errors import InputError

Array: TypeAlias = NDArray[Any]
Flat: TypeAlias = NDArray[np.float32]
"""All averaged weights, or one update of them: float32[parameters], in manifest order."""
Weights: TypeAlias = Mapping[str, Array]
"""Arrays by name; shapes and dtypes are those of the manifest's `WeightSpec`s."""

Role: TypeAlias = Literal["trainable", "state", "slot"]
"""`trainable` and `state` (batch-norm statistics) are averaged; a `slot` of the optimizer stays on the device."""
ROLES: tuple[str, ...] = get_args(Role)

WIRE_DTYPE = np.dtype("<f4")


@dataclass(frozen=True, slots=True)
class WeightSpec:
    """One weight: its name, shape, dtype name (`float32`) and role."""

    name: str
    shape: tuple[int, ...]
    dtype: str = "float32"
    role: Role = "trainable"

    @property
    def size(self) -> int:
        """The number of its elements."""
        return math.prod(self.shape)

    @property
    def averaged(self) -> bool:
        """Whether it travels and is averaged."""
        return self.role != "slot"

    def __hash__(self) -> int:
        return hash(self.name)  # specs are looked up by the tuple once a device and step

    def __str__(self) -> str:
        return f"{self.dtype}[{', '.join(map(str, self.shape))}]"


@lru_cache
def dtype_name(dtype: np.dtype[Any]) -> str:
    """Return `dtype.name`, which NumPy puts together anew each time: 3 µs of a device's step that may take 30."""
    return dtype.name


def parameters(specs: Iterable[WeightSpec]) -> int:
    """Return how many numbers an update has."""
    return sum(spec.size for spec in specs if spec.averaged)


def check(weights: Weights, specs: Iterable[WeightSpec]) -> None:
    """Check that every averaged weight is there with its shape and dtype.

    Raises:
        InputError: naming the weight, what was expected and what was met.
    """
    for spec in specs:
        if spec.role == "slot":
            continue
        if spec.name not in weights:
            raise InputError(f"weight {spec.name!r}: expected {spec}, but it is missing")
        check_one(weights[spec.name], spec)


def check_one(array: Array, spec: WeightSpec) -> None:
    """Check the shape and dtype of one weight. Raises InputError as `check` does."""
    if array.shape != spec.shape or dtype_name(array.dtype) != spec.dtype:
        got = f"{array.dtype.name}[{', '.join(map(str, array.shape))}]"
        raise InputError(f"weight {spec.name!r}: expected {spec}, got {got}")


def flatten(weights: Weights, specs: Iterable[WeightSpec]) -> Flat:
    """Return the averaged weights as one float32 vector in the order of `specs`.

    Raises:
        InputError: if a weight is missing or has another shape or dtype.

    Example:
        >>> specs = [WeightSpec("w", (2, 1)), WeightSpec("b", (1,))]
        >>> flatten({"b": np.ones(1, "f4"), "w": np.zeros((2, 1), "f4")}, specs)
        array([0., 0., 1.], dtype=float32)
    """
    specs = [spec for spec in specs if spec.averaged]
    check(weights, specs)
    flat = np.empty(parameters(specs), np.float32)
    at = 0
    for spec in specs:
        flat[at : at + spec.size] = weights[spec.name].reshape(-1)
        at += spec.size
    return flat


def unflatten(flat: Flat, specs: Iterable[WeightSpec]) -> dict[str, Array]:
    """Return the weights inside `flat` by name, as views of it where the dtype is float32.

    Raises:
        InputError: if `flat` has another length than the specs ask for.
    """
    places, total = layout(tuple(specs))
    if flat.shape != (total,):
        raise InputError(f"flat weights: expected float32[{total}], got {flat.dtype.name}{list(flat.shape)}")
    return {
        spec.name: flat[place].reshape(spec.shape).astype(spec.dtype, copy=False)
        if spec.dtype != "float32"
        else flat[place].reshape(spec.shape)
        for spec, place in places
    }


@lru_cache(maxsize=64)
def layout(specs: tuple[WeightSpec, ...]) -> tuple[tuple[tuple[WeightSpec, slice], ...], int]:
    """Return each averaged weight with its place in a flat vector, and the vector's length."""
    places, at = [], 0
    for spec in specs:
        if spec.averaged:
            places.append((spec, slice(at, at + spec.size)))
            at += spec.size
    return tuple(places), at


def squares(flat: Flat) -> float:
    """Return the sum of the squares to float32's precision, infinite or NaN if a value is not finite or very large."""
    return float(np.einsum("i,i->", flat, flat))  # not dot: BLAS wakes threads for it, and warns where it overflows


def to_bytes(flat: Flat) -> bytes:
    """Return the wire form of a flat vector: little-endian float32."""
    return flat.astype(WIRE_DTYPE, copy=False).tobytes()


def from_bytes(data: bytes | memoryview, count: int) -> Flat:
    """Read a flat vector of `count` numbers (a copy, in native byte order).

    Raises:
        InputError: if the number of bytes is not four times `count`.
    """
    if len(data) != 4 * count:
        raise InputError(f"flat weights: expected {4 * count} bytes (float32[{count}]), got {len(data)}")
    return np.frombuffer(data, WIRE_DTYPE).astype(np.float32)


def pack(weights: Weights, specs: Sequence[WeightSpec]) -> bytes:
    """Return the wire form of the averaged weights; `unpack` undoes it exactly."""
    return to_bytes(flatten(weights, specs))


def unpack(data: bytes | memoryview, specs: Sequence[WeightSpec]) -> dict[str, Array]:
    """Return the weights whose wire form is `data`.

    Raises:
        InputError: if the number of bytes is not the one that `specs` ask for.
    """
    return unflatten(from_bytes(data, parameters(specs)), specs)
