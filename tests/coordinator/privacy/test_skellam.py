import math
from dataclasses import replace

import pytest

pytest.importorskip("dp_accounting")

from edgewise_coordinator.privacy.skellam import SkellamNoise
from edgewise_wire.errors import ConfigError
from edgewise_wire.messages import SecureTerms
from edgewise_wire.secure.form import Form
from edgewise_wire.secure.noise import noise_multiplier
from edgewise_wire.secure.skellam import probabilities


def noise(z: float, numbers: int = 1_422_250, bits: int = 20) -> SkellamNoise:
    return SkellamNoise(Form(128, bits, 0.5), 0.5, numbers, 100, z)


def test_the_divergence_bound_is_above_the_exact_divergence_in_one_dimension() -> None:
    """Against Σ P(x)^α P(x − 1)^(1−α), summed to the end, for one number of sensitivity 1."""
    for variance in (1.0, 4.0, 25.0):
        p = probabilities(variance)
        both = [*p[:0:-1], *p]
        for order in (2, 3, 8):
            logs = [math.log(value) for value in both if value > 1e-250]
            terms = [math.exp(order * logs[i] + (1 - order) * logs[i - 1]) for i in range(1, len(logs))]
            exact = math.log(math.fsum(terms)) / (order - 1)
            l2 = 1.0
            bound = order * l2 / (2 * variance) + min(((2 * order - 1) + 6) / (4 * variance**2), 3 / (2 * variance))
            made = object.__new__(SkellamNoise)
            for name, value in (("form", Form(2, 2, 1.0)), ("clip", 1.0), ("numbers", 1), ("least", 2)):
                object.__setattr__(made, name, value)
            object.__setattr__(made, "noise_multiplier", math.sqrt(variance) / made.norm)
            assert exact <= bound
            assert made.divergence(order) >= bound - 1e-12  # our norm of one rounded number is at least 1


def test_fine_steps_cost_what_a_gaussian_does() -> None:
    """With steps far below the noise, the bound is the Gaussian's αΔ²/2σ² to a thousandth."""
    fine = noise(1.0)
    for order in (2, 16, 128):
        assert fine.divergence(order) == pytest.approx(order / 2, rel=1e-3)
    from edgewise_coordinator.privacy.accounting import of_divergences

    assert fine.epsilon(50, 1e-6) == pytest.approx(of_divergences(lambda a: 50 * a / 2, delta=1e-6), rel=1e-3)


def test_more_sums_cost_more_and_more_noise_costs_less() -> None:
    assert noise(2.0).epsilon(10, 1e-6) < noise(1.0).epsilon(10, 1e-6) < noise(1.0).epsilon(20, 1e-6)
    assert noise(1.0).epsilon(0, 1e-6) == 0


def test_each_device_adds_its_part_for_those_in_league_too() -> None:
    made = noise(1.0)
    assert made.honest == 100 - 6  # the corrupt of all 128 may be among the last hundred
    assert made.of_each * 94 == pytest.approx((made.noise_multiplier * made.norm) ** 2)
    assert made.norm > made.clip / made.form.step


def test_zcdp_holds_for_every_real_order() -> None:
    """The divergence of order 2 stands for all orders between 1 and 2, that of n + 1 for all between n and n + 1."""
    for made in (noise(1.0), noise(1.0, bits=6), noise(3.0, numbers=50, bits=3)):
        assert all(made.divergence(n + 1, 7) <= n * made.rho(7) * (1 + 1e-12) for n in range(1, 400))
    assert noise(1.0).rho(1) == pytest.approx(1.0, rel=1e-3)  # twice a Gaussian's
    assert noise(1.0).rho(0) == 0.0


def test_devices_and_coordinator_mean_the_same_by_a_multiplier() -> None:
    for made in (noise(1.0), noise(2.5, numbers=50, bits=3)):
        terms = SecureTerms(128, 100, made.form.value_bits, 0.5, 1, made.of_each, 0.5)
        assert noise_multiplier(terms, made.numbers) == pytest.approx(made.noise_multiplier, rel=1e-12)
        assert noise_multiplier(replace(terms, noise=0.0), made.numbers) == 0.0
        assert noise_multiplier(replace(terms, least=6), made.numbers) == 0.0  # all six may be corrupt


def test_impossible_noise_is_refused() -> None:
    with pytest.raises(ConfigError, match="ask for more reports"):
        SkellamNoise(Form(128, 16, 1.0), 1.0, 10, 6, 1.0)
    with pytest.raises(ConfigError, match="take fewer bits"):
        SkellamNoise(Form(4, 24, 1.0), 1.0, 10, 4, 1.0)
    with pytest.raises(ConfigError, match="above 0"):
        noise(0.0)
    with pytest.raises(ConfigError, match="clipping norm"):
        SkellamNoise(Form(8, 16, 1.0), 0.0, 10, 4, 1.0)
