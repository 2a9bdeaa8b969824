"""AdamW (Loshchilov and Hutter 2019, algorithm 2) over one flat vector, for training on a server.

Devices run the plain SGD of the artifact's `train`; a server has room for two slots a weight. The gradient comes from
the very same `train`: a step of a known rate from known weights tells it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from edgewise_wire.weights import Flat

BETA1, BETA2 = 0.9, 0.99
EPSILON = 1e-7
BLOCK = 1 << 15  # numbers at a time, so that five vectors of them stay in a core's own cache


@dataclass(slots=True)
class AdamW:
    """The two moments and the number of steps; `decay` pulls every weight towards zero, times the rate.

    Example:
        >>> weights, optimizer = np.array([1.0], np.float32), AdamW.fresh(1, decay=0.0)
        >>> optimizer.step(weights, np.array([0.3], np.float32), rate=0.1)
        >>> weights
        array([0.9], dtype=float32)
    """

    m: Flat
    v: Flat
    decay: float
    steps: int = 0
    _room: list[Flat] = field(default_factory=lambda: [np.empty(BLOCK, np.float32) for _ in range(2)], repr=False)

    @classmethod
    def fresh(cls, size: int, decay: float) -> AdamW:
        """Return the optimizer before its first step."""
        return cls(np.zeros(size, np.float32), np.zeros(size, np.float32), decay)

    def step(self, weights: Flat, gradient: Flat, rate: float) -> None:
        """Change `weights` by one step; `gradient` is used up."""
        self.steps += 1
        root = math.sqrt(1 - BETA2**self.steps)
        scale, epsilon = np.float32(-rate * root / (1 - BETA1**self.steps)), np.float32(EPSILON * root)
        keep = np.float32(1 - rate * self.decay)
        for at in range(0, len(weights), BLOCK):
            part = slice(at, at + BLOCK)
            w, g, m, v = weights[part], gradient[part], self.m[part], self.v[part]
            square, change = (room[: len(w)] for room in self._room)
            np.multiply(g, g, out=square)
            square *= np.float32(1 - BETA2)
            v *= np.float32(BETA2)
            v += square
            g *= np.float32(1 - BETA1)
            m *= np.float32(BETA1)
            m += g
            np.sqrt(v, out=change)
            change += epsilon
            np.divide(m, change, out=change)
            change *= scale
            w *= keep
            w += change
