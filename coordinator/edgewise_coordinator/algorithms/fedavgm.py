"""FedAvgM: FedAvg with momentum on the server (Hsu et al. 2019, "Measuring the Effects of Non-Identical …", §4.3)."""

from __future__ import annotations

import numpy as np

from edgewise_coordinator.algorithms.base import Aggregate, Algorithm, State
from edgewise_coordinator.algorithms.checks import positive, share
from edgewise_wire.weights import Flat


def fedavgm(server_learning_rate: float = 1.0, momentum: float = 0.9) -> Algorithm:
    """Return FedAvgM: v ← βv + Δ, w ← w + ηv, with Δ the mean update (the paper's −Δw).

    Args:
        server_learning_rate: η, positive.
        momentum: β, 0 to 1 (not included); 0 is FedAvg.

    Raises:
        ConfigError: if one is out of its range.

    Example:
        >>> algorithm, w = fedavgm(momentum=0.5), np.zeros(1, np.float32)
        >>> one = Aggregate(np.ones(1, np.float32))
        >>> w, state = algorithm.step(w, algorithm.init(w), one)
        >>> algorithm.step(w, state, one)[0]
        array([2.5], dtype=float32)
    """
    eta = np.float32(positive("server learning rate", server_learning_rate))
    beta = np.float32(share("server momentum", momentum))

    def init(weights: Flat) -> State:
        return {"velocity": np.zeros_like(weights)}

    def step(weights: Flat, state: State, aggregate: Aggregate) -> tuple[Flat, State]:
        velocity = beta * state["velocity"] + aggregate.update
        return weights + eta * velocity, {"velocity": velocity}

    return Algorithm("fedavgm", init, step)
