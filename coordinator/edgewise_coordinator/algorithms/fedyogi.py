"""FedYogi (Reddi et al. 2021, "Adaptive Federated Optimization", Algorithm 2, line 13)."""

from __future__ import annotations

import numpy as np

from edgewise_coordinator.algorithms.adaptive import adaptive
from edgewise_coordinator.algorithms.base import Algorithm
from edgewise_coordinator.algorithms.checks import share
from edgewise_wire.weights import Flat


def fedyogi(
    server_learning_rate: float = 0.01, momentum: float = 0.9, adaptivity: float = 1e-3, beta2: float = 0.99
) -> Algorithm:
    """Return FedYogi: v ← v − (1 − β₂)·Δ²·sign(v − Δ²), so that v moves by Δ² at the most.

    Raises:
        ConfigError: if a setting is out of its range (see `adaptive`; β₂ is 0 to 1, not included).
    """
    rest = np.float32(1 - share("beta2", beta2))

    def rule(v: Flat, squared: Flat) -> Flat:
        moved: Flat = v - rest * squared * np.sign(v - squared)
        return moved

    return adaptive(
        "fedyogi", rule, server_learning_rate=server_learning_rate, momentum=momentum, adaptivity=adaptivity
    )
