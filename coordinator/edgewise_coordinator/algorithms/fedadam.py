"""FedAdam (Reddi et al. 2021, "Adaptive Federated Optimization", Algorithm 2, line 14)."""

from __future__ import annotations

import numpy as np

from edgewise_coordinator.algorithms.adaptive import adaptive
from edgewise_coordinator.algorithms.base import Algorithm
from edgewise_coordinator.algorithms.checks import share
from edgewise_wire.weights import Flat


def fedadam(
    server_learning_rate: float = 0.01, momentum: float = 0.9, adaptivity: float = 1e-3, beta2: float = 0.99
) -> Algorithm:
    """Return FedAdam: v ← β₂v + (1 − β₂)Δ².

    Raises:
        ConfigError: if a setting is out of its range (see `adaptive`; β₂ is 0 to 1, not included).
    """
    beta = np.float32(share("beta2", beta2))

    def rule(v: Flat, squared: Flat) -> Flat:
        return beta * v + (1 - beta) * squared

    return adaptive(
        "fedadam", rule, server_learning_rate=server_learning_rate, momentum=momentum, adaptivity=adaptivity
    )
