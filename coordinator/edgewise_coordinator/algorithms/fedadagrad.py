"""FedAdagrad (Reddi et al. 2021, "Adaptive Federated Optimization", Algorithm 2, line 12)."""

from __future__ import annotations

from edgewise_coordinator.algorithms.adaptive import adaptive
from edgewise_coordinator.algorithms.base import Algorithm
from edgewise_wire.weights import Flat


def fedadagrad(server_learning_rate: float = 0.1, momentum: float = 0.0, adaptivity: float = 1e-3) -> Algorithm:
    """Return FedAdagrad: v ← v + Δ². Without momentum by default, as in the paper's experiments.

    Raises:
        ConfigError: if a setting is out of its range (see `adaptive`).
    """

    def rule(v: Flat, squared: Flat) -> Flat:
        return v + squared

    return adaptive(
        "fedadagrad", rule, server_learning_rate=server_learning_rate, momentum=momentum, adaptivity=adaptivity
    )
