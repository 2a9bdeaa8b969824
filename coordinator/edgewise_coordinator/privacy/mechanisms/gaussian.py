"""Independent Gaussian noise for each release: DP-FedAvg (McMahan et al. 2018, algorithm 1)."""

from __future__ import annotations

from edgewise_coordinator.privacy.mechanisms.base import Mechanism, Step, participations_that_fit


def gaussian() -> Mechanism:
    """Return the mechanism: a device that takes part k times moves k independent releases by 1 each.

    Example:
        >>> gaussian().sensitivity(100, 10, None)
        10.0
    """
    once = Step(draws=1, release=(1.0,))

    def step(number: int) -> Step:
        return once

    def sensitivity(steps: int, separation: int, participations: int | None) -> float:
        return float(participations_that_fit(steps, separation, participations))

    return Mechanism("gaussian", step, sensitivity, float, independent=True)
