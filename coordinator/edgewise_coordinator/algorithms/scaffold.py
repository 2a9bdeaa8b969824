"""SCAFFOLD (Karimireddy et al. 2020, "Stochastic Controlled Averaging", Algorithm 1, option II).

The server's half: x and c. The device's half, `edgewise_edge.control`, keeps its cᵢ on the device between rounds,
steps along g − cᵢ + c, and sends (Δy, Δc) one after the other.
"""

from __future__ import annotations

import numpy as np

from edgewise_coordinator.algorithms.base import Aggregate, Algorithm, Client, State
from edgewise_coordinator.algorithms.checks import positive
from edgewise_wire.errors import ConfigError
from edgewise_wire.weights import Flat

CLIENT = Client(correction="scaffold", control="control", parts=2, uniform=True)


def scaffold(fleet_size: int, server_learning_rate: float = 1.0) -> Algorithm:
    """Return SCAFFOLD's server: x ← x + η·mean(Δy), c ← c + |S|/N · mean(Δc) (lines 16 and 17).

    Both means are over devices and not over examples, as in the paper: c must stay the mean of all cᵢ.

    Args:
        fleet_size: N, how many devices there are, those included that are never selected. Too large a number makes c
            follow more slowly, too small a one makes it overshoot.
        server_learning_rate: η, positive.

    Raises:
        ConfigError: if one is out of its range.

    Example:
        >>> algorithm, x = scaffold(fleet_size=4), np.zeros(1, np.float32)
        >>> both = Aggregate(np.array([3.0, 2.0], np.float32), reports=2)
        >>> x, state = algorithm.step(x, algorithm.init(x), both)
        >>> x, state["control"]
        (array([3.], dtype=float32), array([1.], dtype=float32))
    """
    if fleet_size < 1:
        raise ConfigError(f"fleet size: expected at least 1 device, got {fleet_size}")
    eta = np.float32(positive("server learning rate", server_learning_rate))

    def init(weights: Flat) -> State:
        return {"control": np.zeros_like(weights)}

    def step(weights: Flat, state: State, aggregate: Aggregate) -> tuple[Flat, State]:
        delta_y, delta_c = np.split(aggregate.update, 2)
        taking_part = np.float32(min(1.0, aggregate.reports / fleet_size))
        return weights + eta * delta_y, {"control": state["control"] + taking_part * delta_c}

    return Algorithm("scaffold", init, step, CLIENT)
