"""What is added to each gradient of local training: FedProx's pull and SCAFFOLD's control variates.

Both are affine in the weights, so the artifact's `train_corrected` serves them: it steps along g + μ·w + offset.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edgewise_wire.weights import Array, Flat, WeightSpec, unflatten


@dataclass(frozen=True, slots=True)
class Correction:
    """The correction of one round; all arrays are float32[parameters].

    Attributes:
        mu: FedProx's μ (Li et al. 2020, Algorithm 2): the gradient of (μ/2)‖w − w₀‖² is added.
        server: c of SCAFFOLD (Karimireddy et al. 2020, Algorithm 1), `None` without it.
        own: this device's cᵢ, `None` while it is zero.
    """

    mu: float = 0.0
    server: Flat | None = None
    own: Flat | None = None

    def offset(self, weights: Flat, specs: Sequence[WeightSpec]) -> Mapping[str, Array]:
        """Return −μ·w₀ + c − cᵢ by the names of the trainable weights, where `weights` is w₀."""
        total = np.multiply(weights, np.float32(-self.mu), dtype=np.float32)
        if self.server is not None:
            total += self.server
        if self.own is not None:
            total -= self.own
        named = unflatten(total, specs)
        return {spec.name: named[spec.name] for spec in specs if spec.role == "trainable"}

    def change(self, update: Flat, specs: Sequence[WeightSpec], steps: int, learning_rate: float) -> Flat:
        """Return Δc = cᵢ⁺ − cᵢ = −c + (x − y)/(K·η), option II of line 12, zero for averaged state.

        Args:
            update: y − x, what local training changed.
            specs: of the weights.
            steps: K, the optimizer steps taken.
            learning_rate: η of each.
        """
        change: Flat = np.multiply(update, np.float32(-1.0 / (steps * learning_rate)), dtype=np.float32)
        if self.server is not None:
            change -= self.server
        for name, part in unflatten(change, specs).items():
            if next(spec.role for spec in specs if spec.name == name) != "trainable":
                part[...] = 0.0  # nobody steps along it; batch-norm statistics are averaged as they are
        return change
