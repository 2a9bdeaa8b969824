"""FedProx (Li et al. 2020, "Federated Optimization in Heterogeneous Networks", Algorithm 2)."""

from __future__ import annotations

import math
from dataclasses import replace

from edgewise_coordinator.algorithms.base import Algorithm
from edgewise_coordinator.algorithms.fedavg import fedavg
from edgewise_wire.errors import ConfigError


def fedprox(mu: float = 0.01, server: Algorithm | None = None) -> Algorithm:
    """Return an algorithm whose devices minimize Fₖ(w) + (μ/2)‖w − wᵗ‖², and whose server does as `server` does.

    The devices' gradient is g + μ·w − μ·wᵗ; the server's half is FedAvg's unless another one is given.

    Args:
        mu: μ, at least 0; with 0 it is `server` itself, bit for bit.
        server: the server's half.

    Raises:
        ConfigError: if μ is negative or not finite.

    Example:
        >>> fedprox(0.1).client.mu
        0.1
    """
    if not 0 <= mu < math.inf:
        raise ConfigError(f"mu: expected a number of at least 0, got {mu}")
    inner = server or fedavg()
    return inner._replace(name="fedprox", client=replace(inner.client, mu=mu))
