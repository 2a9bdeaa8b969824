"""Guarantees that others have published, from the numbers that they published with them."""

import math

import pytest

from edgewise_coordinator.privacy.accounting import Sampled, noise_for, of_mechanism, of_sampled, renyi_epsilon
from edgewise_coordinator.privacy.mechanisms.banded import banded, square_root_bands
from edgewise_coordinator.privacy.mechanisms.gaussian import gaussian
from edgewise_coordinator.privacy.mechanisms.tree import tree
from edgewise_wire.errors import ConfigError

DELTA = 1e-10


def test_gboards_spanish_model_by_tree_aggregation() -> None:
    # Google 2022, "Federated Learning with Formal Differential Privacy Guarantees": noise multiplier 7.0, 2,000 rounds,
    # 313 rounds in between (so 314 apart), at most 6 participations: zCDP 0.81, ε = 8.90 at δ = 1e-10.
    cost = of_mechanism(tree(), 7.0, 2_000, delta=DELTA, separation=313 + 1, participations=6)
    assert cost.rho == pytest.approx(79 / 98)
    assert round(cost.rho, 2) == 0.81
    assert round(renyi_epsilon(cost.rho, DELTA), 2) == 8.90  # as they convert
    assert round(cost.epsilon, 2) == 8.53  # what the same mechanism is worth, converted exactly


def test_gboards_spanish_model_by_banded_matrix_factorisation() -> None:
    # 400 bands planned for 2,000 rounds: the published 1.411 is of a factor scaled so that 2000 / 400 = 5
    # participations have norm 1; ours has norm 1 for one. ε = 3.42 is what three participations come to.
    mechanism = banded(square_root_bands(400))
    z = 1.411 * math.sqrt(mechanism.sensitivity(2_000, 400, None))
    cost = of_mechanism(mechanism, z, 2_000, delta=DELTA, separation=484, participations=3)
    assert cost.rho == pytest.approx(0.15, abs=0.005)
    assert round(cost.epsilon, 2) == 3.42
    # All five that fit 484 apart into 2,000 rounds would come to more; three fit until round 1,452.
    assert 4.3 < of_mechanism(mechanism, z, 2_000, delta=DELTA, separation=484).epsilon < 4.5
    stopped = of_mechanism(mechanism, z, 1_452, delta=DELTA, separation=484)
    assert stopped.epsilon == pytest.approx(cost.epsilon)


def test_a_mechanism_never_gets_cheaper_with_more_rounds() -> None:
    for mechanism in (gaussian(), tree(), tree(16), banded(square_root_bands(8))):
        costs = [of_mechanism(mechanism, 2.0, steps, delta=1e-6, separation=8).epsilon for steps in range(40)]
        assert costs == sorted(costs)
        assert costs[0] == 0.0


def test_no_noise_is_no_privacy() -> None:
    assert of_mechanism(gaussian(), 0.0, 1, delta=1e-6).epsilon == math.inf
    assert of_sampled([Sampled(1, 0.0, 0.1)], delta=1e-6).epsilon == math.inf


def test_sampling_everyone_is_no_sampling() -> None:
    exact = of_mechanism(gaussian(), 3.0, 10, delta=1e-6)
    sampled = of_sampled([Sampled(10, 3.0, 1.0)], delta=1e-6)
    assert exact.rho == pytest.approx(sampled.rho)
    assert exact.epsilon < sampled.epsilon < 1.15 * exact.epsilon  # by Rényi divergences, so from above


def test_a_sample_costs_less_than_everyone() -> None:
    # Abadi et al. 2016, §5.2: q = 0.01, σ = 4, 10,000 steps, δ = 1e-5 → ε = 1.26.
    assert of_sampled([Sampled(10_000, 4.0, 0.01)], delta=1e-5).epsilon == pytest.approx(1.26, abs=0.3)
    assert of_sampled([Sampled(10_000, 4.0, 0.01)], delta=1e-5).epsilon < 1.26


def test_the_calibrated_noise_is_just_enough() -> None:
    def cost(z: float) -> float:
        return of_mechanism(tree(), z, 100, delta=1e-6, separation=10).epsilon

    z = noise_for(cost, 4.0)
    assert cost(z) <= 4.0 < cost(0.998 * z)


@pytest.mark.parametrize("delta", [0.0, 1.0, math.nan, -1e-6])
def test_a_delta_that_is_none_is_refused(delta: float) -> None:
    with pytest.raises(ConfigError, match="delta"):
        of_mechanism(gaussian(), 1.0, 1, delta=delta)
