"""What FedAdagrad, FedYogi and FedAdam share (Reddi et al. 2021, "Adaptive Federated Optimization", Algorithm 2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from edgewise_coordinator.algorithms.base import Aggregate, Algorithm, State
from edgewise_coordinator.algorithms.checks import positive, share
from edgewise_wire.weights import Flat

SecondMoment: TypeAlias = Callable[[Flat, Flat], Flat]
"""`rule(v, squared) -> v`: the next second moment from the last one and Δ²."""


def adaptive(
    name: str, rule: SecondMoment, *, server_learning_rate: float, momentum: float, adaptivity: float
) -> Algorithm:
    """Return Algorithm 2 with one of its three rules for v.

        m ← β₁m + (1 − β₁)Δ,   v ← rule(v, Δ²),   w ← w + η·m / (√v + τ)

    v begins at τ² (the algorithm asks for v₋₁ ≥ τ²); there is no bias correction.

    Args:
        name: of the algorithm.
        rule: lines 12 to 14 of the algorithm.
        server_learning_rate: η, positive.
        momentum: β₁, 0 to 1 (not included).
        adaptivity: τ, positive: the smaller, the more adaptive.

    Raises:
        ConfigError: if one is out of its range.
    """
    eta = np.float32(positive("server learning rate", server_learning_rate))
    beta = np.float32(share("server momentum", momentum))
    tau = np.float32(positive("adaptivity", adaptivity))

    def init(weights: Flat) -> State:
        return {"m": np.zeros_like(weights), "v": np.full_like(weights, tau * tau)}

    def step(weights: Flat, state: State, aggregate: Aggregate) -> tuple[Flat, State]:
        delta = aggregate.update
        m = beta * state["m"] + (1 - beta) * delta
        v = rule(state["v"], delta * delta)
        return weights + eta * m / (np.sqrt(v) + tau), {"m": m, "v": v}

    return Algorithm(name, init, step)
