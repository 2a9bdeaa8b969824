"""Decoupled weight decay on the server: beside any algorithm's step, a share of every weight goes."""

from __future__ import annotations

import numpy as np

from edgewise_coordinator.algorithms.base import Aggregate, Algorithm, State
from edgewise_coordinator.algorithms.checks import positive, share
from edgewise_wire.weights import Flat


def weight_decay(algorithm: Algorithm, part: float) -> Algorithm:
    """Return `algorithm` with weights that shrink by a share in each version: w ← step(w) − part·w.

    It is AdamW's decay (Loshchilov and Hutter 2019, algorithm 2, line 12) where the server takes the steps: decoupled
    from moments and from what devices do, which keep their plain SGD. With a falling rate around it, it falls, too.

    Args:
        algorithm: any.
        part: of every weight in each version, above 0 and below 1; some thousandths.

    Raises:
        ConfigError: if it is out of its range.

    Example:
        >>> shrinking = weight_decay(fedavg(), 0.25)
        >>> shrinking.step(np.ones(1, np.float32), {}, Aggregate(np.ones(1, np.float32)))[0]
        array([1.75], dtype=float32)
    """
    gone = np.float32(positive("server weight decay", share("server weight decay", part)))

    def step(weights: Flat, state: State, aggregate: Aggregate) -> tuple[Flat, State]:
        after, state = algorithm.step(weights, state, aggregate)
        return after - gone * weights, state

    return algorithm._replace(step=step)
