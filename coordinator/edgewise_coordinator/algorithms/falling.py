"""A server learning rate that falls: any algorithm's step, made shorter from round to round."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edgewise_coordinator.algorithms.base import Aggregate, Algorithm, State
from edgewise_coordinator.algorithms.checks import positive
from edgewise_wire.weights import Flat


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
    return _falling(algorithm, lambda taken: 0.5 ** (taken / every), "halving_rounds")


def annealing(algorithm: Algorithm, over: float) -> Algorithm:
    """Return `algorithm` with a server learning rate that falls in a straight line to nothing: η·max(0, 1 − t/over).

    For who knows how many versions there will be: it is high for long, and ends with the noise averaged away (Bergsma
    et al. 2025, "Straight to Zero", figure 1). From version `over` on nothing changes.

    Args:
        algorithm: any whose step is in proportion to its server's rate, as all of ours are.
        over: versions, positive.

    Raises:
        ConfigError: if `over` is not a positive number.

    Example:
        >>> falling = annealing(fedavg(), over=4)
        >>> weights, state = np.zeros(1, np.float32), falling.init(np.zeros(1, np.float32))
        >>> for _ in range(6):
        ...     weights, state = falling.step(weights, state, Aggregate(np.ones(1, np.float32)))
        >>> weights
        array([2.5], dtype=float32)
    """
    positive("server annealing", over)
    return _falling(algorithm, lambda taken: max(0.0, 1 - taken / over), "annealing_rounds")


def _falling(algorithm: Algorithm, part_of: Callable[[int], float], count: str) -> Algorithm:
    """Return `algorithm` with steps that are shortened by `part_of(versions made)`, counted in its state."""

    def init(weights: Flat) -> State:
        return {**algorithm.init(weights), count: 0}

    def step(weights: Flat, state: State, aggregate: Aggregate) -> tuple[Flat, State]:
        taken = int(state.get(count, 0))
        own = {name: value for name, value in state.items() if name != count}
        whole, own = algorithm.step(weights, own, aggregate)
        return weights + np.float32(part_of(taken)) * (whole - weights), {**own, count: taken + 1}

    return algorithm._replace(init=init, step=step)
