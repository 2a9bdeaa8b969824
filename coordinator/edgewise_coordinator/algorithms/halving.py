"""A server learning rate that falls: any algorithm's step, made shorter from round to round."""

from __future__ import annotations

import numpy as np

from edgewise_coordinator.algorithms.base import Aggregate, Algorithm, State
from edgewise_coordinator.algorithms.checks import positive
from edgewise_wire.weights import Flat

COUNT = "halving_rounds"  # how many steps were taken, in the state beside the algorithm's own


def halving(algorithm: Algorithm, every: float) -> Algorithm:
    """Return `algorithm` with a server learning rate that halves every so many versions: η·2^(−t/every).

    A constant rate leaves a model that jumps about its optimum with every cohort's noise; one that falls ends in it
    (the condition under which SGD converges; Li et al. 2020, "On the Convergence of FedAvg on Non-IID Data", §3.4,
    show that FedAvg needs it too). It depends on the versions made and not on how many are asked for, so that a run
    that is made longer goes on with the same rates.

    Args:
        algorithm: any whose step is in proportion to its server's rate, as all of ours are.
        every: versions, positive; need not be whole.

    Raises:
        ConfigError: if `every` is not a positive number.

    Example:
        >>> half = halving(fedavg(), every=1)
        >>> weights, state = np.zeros(1, np.float32), half.init(np.zeros(1, np.float32))
        >>> for _ in range(3):
        ...     weights, state = half.step(weights, state, Aggregate(np.ones(1, np.float32)))
        >>> weights
        array([1.75], dtype=float32)
    """
    positive("server halving", every)

    def init(weights: Flat) -> State:
        return {**algorithm.init(weights), COUNT: 0}

    def step(weights: Flat, state: State, aggregate: Aggregate) -> tuple[Flat, State]:
        taken = int(state.get(COUNT, 0))
        own = {name: value for name, value in state.items() if name != COUNT}
        whole, own = algorithm.step(weights, own, aggregate)
        part = np.float32(0.5 ** (taken / every))
        return weights + part * (whole - weights), {**own, COUNT: taken + 1}

    return algorithm._replace(init=init, step=step)
