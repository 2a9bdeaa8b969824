"""Weights as they stand in a file: float32 little-endian, every parameter in the manifest's order."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from edgewise_edge.local_training import TrainerLike
from edgewise_wire.errors import ModelError
from edgewise_wire.weights import WIRE_DTYPE, Flat, parameters


def read_weights(path: Path, trainer: TrainerLike, what: str = "weights") -> Flat:
    """Return a round's weights as a read-only view of their file: float32[parameters], mapped and not copied.

    Raises:
        ModelError: if they are not as many as the graph has, or not all finite.
    """
    count = parameters(trainer.manifest.weights)
    size = path.stat().st_size
    if size != WIRE_DTYPE.itemsize * count:
        raise ModelError(f"the round's {what} are {size} bytes, the graph has {count} parameters of 4 bytes")
    mapped = np.memmap(path, WIRE_DTYPE, "r")
    weights: Flat = np.asarray(mapped).astype(np.float32, copy=False)
    if not np.isfinite(weights).all():
        raise ModelError(f"the round's {what} have numbers that are not finite")
    return weights


def room_on_disk(path: Path, count: int) -> Flat:
    """Return float32[count] that stands in a file without a name, so that memory need hold only what is worked on.

    Raises:
        OSError: if the disk has no room for it; written to, it can then no longer run out.
    """
    try:
        with path.open("w+b") as file:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, WIRE_DTYPE.itemsize * count)
            return np.asarray(np.memmap(file, np.float32, "r+", shape=(count,)))
    finally:
        path.unlink(missing_ok=True)
