"""A mechanism's noise as a matrix: which fresh normals each release is made of; an independent look at `Step`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgewise_coordinator.privacy.mechanisms.base import Mechanism


def releases(mechanism: Mechanism, steps: int) -> NDArray[np.float64]:
    """Return each release's noise as weights of fresh normals: float64[steps, draws]."""
    plans = [mechanism.step(number) for number in range(1, steps + 1)]
    width = sum(plan.draws for plan in plans)
    kept: dict[str, NDArray[np.float64]] = {}
    out, drawn = np.zeros((steps, width)), 0
    for row, plan in zip(out, plans, strict=True):
        fresh = np.zeros((plan.draws, width))
        fresh[np.arange(plan.draws), drawn + np.arange(plan.draws)] = 1.0
        drawn += plan.draws
        basis = np.concatenate([fresh, *(kept[name][None] for name in plan.uses)])
        row[:] = np.array(plan.release) @ basis
        kept |= {name: np.array(weights) @ basis for name, weights in plan.keep.items()}
        for name in plan.forget:
            del kept[name]
    return out
