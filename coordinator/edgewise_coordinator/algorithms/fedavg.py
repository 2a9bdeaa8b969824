"""FedAvg: the next weights are the weighted average of the devices' weights (McMahan et al. 2017, Algorithm 1)."""

from __future__ import annotations

import numpy as np

from edgewise_coordinator.algorithms.base import Aggregate, Algorithm, State
from edgewise_coordinator.algorithms.checks import positive
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
        >>> algorithm.step(w, algorithm.init(w), Aggregate(np.array([1, 2], np.float32)))[0]
        array([1., 2.], dtype=float32)
    """
    eta = np.float32(positive("server learning rate", server_learning_rate))

    def init(weights: Flat) -> State:
        return {}

    def step(weights: Flat, state: State, aggregate: Aggregate) -> tuple[Flat, State]:
        return weights + eta * aggregate.update, state

    return Algorithm("fedavg", init, step)
