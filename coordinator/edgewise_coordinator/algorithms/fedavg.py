"""FedAvg: the next weights are the weighted average of the devices' weights (McMahan et al. 2017, Algorithm 1)."""

from __future__ import annotations

import numpy as np

from edgewise_coordinator.algorithms.base import Algorithm, State
from edgewise_wire.errors import ConfigError
from edgewise_wire.weights import Flat


def fedavg(server_learning_rate: float = 1.0) -> Algorithm:
    """Return FedAvg; with a server learning rate of 1 it is w ← Σ (nₖ/n)·wₖ, written as w + mean(wₖ − w).

    Args:
        server_learning_rate: η of the server (Reddi et al. 2021, Algorithm 1 with SGD on both sides); positive.

    Raises:
        ConfigError: if the rate is not positive.

    Example:
        >>> algorithm = fedavg()
        >>> w = np.zeros(2, np.float32)
        >>> algorithm.step(w, algorithm.init(w), np.array([1, 2], np.float32))[0]
        array([1., 2.], dtype=float32)
    """
    if not server_learning_rate > 0:
        raise ConfigError(f"server learning rate: expected a positive number, got {server_learning_rate}")

    def init(weights: Flat) -> State:
        return {}

    def step(weights: Flat, state: State, update: Flat) -> tuple[Flat, State]:
        return weights + np.float32(server_learning_rate) * update, state

    return Algorithm("fedavg", init, step)
