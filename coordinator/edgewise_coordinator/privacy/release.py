"""A sum of clipped updates with noise: the only thing that leaves a private round.

The sum is an integer on a grid of 2^-30 (`ExactSum`), and the noise is rounded to the same grid and added as an
integer. Since x + round(z) = round(x + z) for x on the grid, this is the ideal Gaussian mechanism with its output
rounded, and rounding costs nothing. What a floating-point sum would betray by the spacing of its last bits (Mironov
2012, "On Significance of the Least Significant Bits for Differential Privacy") is not there: the noise's values do not
depend on the data, and the grid is 10^8 times finer than the noise. What is left of the ideal are the float64
rounding of each normal (relative 2^-50) and its tail beyond 13 standard deviations.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgewise_coordinator.exact_sum import FRACTION_BITS
from edgewise_coordinator.privacy.mechanisms.base import Step
from edgewise_coordinator.privacy.normals import BLOCK, Normals, normals
from edgewise_wire.errors import ConfigError, InputError
from edgewise_wire.files import write_durably

GRID = 2.0**-FRACTION_BITS
UNITS_MAX = 2.0**61  # of the grid: a sum and its noise stay inside 64 bits

Units = NDArray[np.int64]
"""Whole multiples of the grid."""


def make_noise(step: Step, key: bytes, size: int, folder: Path) -> Normals:
    """Return a step's noise at multiplier 1, float64[size]; what later steps need is written to `folder`, synced.

    Law: a function of (step, key, the kept files that the step uses): made again after a crash, it is the same.

    Raises:
        InputError: if a kept file is missing or has another length.
        UnavailableError: if the disk refuses.
    """
    used = [_kept(folder / name, size) for name in step.uses]
    release = np.empty(size)
    keep = {name: np.empty(size) for name, weights in step.keep.items() if weights != step.release}
    for at in range(0, size, BLOCK):
        part = slice(at, min(at + BLOCK, size))
        vectors = [normals(key, stream, at, part.stop - at) for stream in range(step.draws)]
        vectors += [vector[part] for vector in used]
        release[part] = _combined(step.release, vectors)
        for name, out in keep.items():
            out[part] = _combined(step.keep[name], vectors)
    for name in step.keep:
        write_durably(folder / name, keep.get(name, release).astype("<f8").tobytes())
    return release


def forget(step: Step, folder: Path) -> None:
    """Delete the kept vectors that no later step uses; done again, it does nothing."""
    for name in step.forget:
        (folder / name).unlink(missing_ok=True)


def add_noise(total: Units, noise: Normals, deviation: float) -> Units:
    """Return the sum with `deviation` · noise, rounded to the grid, added as integers.

    Raises:
        ConfigError: if the noise is too large for the grid.
    """
    scaled = noise * (deviation / GRID)
    if len(scaled) and not max(float(scaled.max()), -float(scaled.min())) < UNITS_MAX:
        raise ConfigError(f"noise of a standard deviation of {deviation:g}: too large; lower the clipping norm")
    return total + np.rint(scaled, out=scaled).astype(np.int64)


def grid_sensitivity(norm: float, size: int) -> float:
    """Return how far one clipped update moves the sum: its norm, and what rounding to the grid may add to it."""
    return norm + math.sqrt(size) * GRID / 2


def _combined(weights: Sequence[float], vectors: Sequence[Normals]) -> Normals:
    total = weights[0] * vectors[0]
    for weight, vector in zip(weights[1:], vectors[1:], strict=True):
        if weight:
            total += weight * vector
    return total


def _kept(path: Path, size: int) -> Normals:
    try:
        found = np.memmap(path, "<f8", "r")
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path}: the noise of an earlier round cannot be read ({error}); without it no release is private: restore"
            " the directory, or begin a new one"
        ) from error
    if len(found) != size:
        raise InputError(f"{path}: expected the noise of {size} numbers, got {len(found)}")
    return found
