import math

import numpy as np
import pytest

import chance
from edgewise_wire.errors import ConfigError
from edgewise_wire.secure.fixed_point import FixedPoint
from edgewise_wire.secure.noise import rounded_norm
from edgewise_wire.secure.skellam import draw, probabilities

KOLMOGOROV = chance.kolmogorov()  # the keys are fixed: these tests come out the same every time


@pytest.mark.parametrize("variance", [0.3, 2.0, 50.0, 1e5])
def test_what_is_drawn_has_the_distribution(variance: float) -> None:
    found = draw(100_000, variance, bytes(range(32)))
    p = probabilities(variance)
    whole = np.cumsum(np.concatenate([p[:0:-1], p]))
    most = len(p) - 1
    counts = np.bincount(found + most, minlength=2 * most + 1)
    assert np.sqrt(100_000) * np.abs(np.cumsum(counts) / 100_000 - whole).max() < KOLMOGOROV


def test_the_probabilities_are_those_of_two_poisson_variables() -> None:
    """P(X = m) = Σ P(N = n + m) P(N = n) for independent N of mean v/2, summed by the definition."""
    variance, mean = 3.0, 1.5
    poisson = [math.exp(-mean) * mean**n / math.factorial(n) for n in range(80)]
    expected = [sum(poisson[n + m] * poisson[n] for n in range(80 - m)) for m in range(12)]
    assert np.allclose(probabilities(variance)[:12], expected, rtol=1e-12)


def test_shares_of_noise_add_up_to_noise() -> None:
    """The sum of 20 devices' noise of variance 0.5 has the distribution of one of variance 10."""
    total = np.sum([draw(20_000, 0.5, bytes([n]) * 32) for n in range(20)], axis=0)
    p = probabilities(10.0)
    whole = np.cumsum(np.concatenate([p[:0:-1], p]))
    counts = np.bincount(total + len(p) - 1, minlength=2 * len(p) - 1)
    assert np.sqrt(20_000) * np.abs(np.cumsum(counts) / 20_000 - whole).max() < KOLMOGOROV


def test_noise_is_another_one_each_time_unless_a_key_is_named() -> None:
    assert not np.array_equal(draw(50, 100.0), draw(50, 100.0))
    assert np.array_equal(draw(50, 100.0, b"k" * 32), draw(50, 100.0, b"k" * 32))
    with pytest.raises(ConfigError, match="above 0"):
        draw(3, 0.0)


def test_rounding_does_not_stretch_an_update_beyond_its_bound() -> None:
    """A tiny update in many dimensions is where stochastic rounding stretches most."""
    form = FixedPoint(4, 12, 1.0)
    update = np.full(10_000, 0.01 / 100, "f4")  # a norm of 0.01: 20 steps, over 10,000 numbers
    bound = rounded_norm(0.01 / form.step, 10_000)
    assert bound < 0.01 / form.step + 100
    for seed in range(20):
        words = form.encode(update, 1, 0.0, np.random.default_rng(seed), norm=bound)[:-2].view(np.int32)
        assert np.linalg.norm(words.astype(float)) <= bound
    none = form.encode(update, 1, 0.0, np.random.default_rng(0), norm=1.0)  # no throw holds: it is cut off
    assert not none[:-2].any()


def test_a_noised_sum_carries_all_of_the_noise_and_no_loss() -> None:
    form = FixedPoint(30, 16, 1.0, noise=400.0)
    rng = np.random.default_rng(2)
    rows = [
        form.encode(np.zeros(20_000, "f4"), 1, 3.0, rng, noise=draw(20_000, 400.0, bytes([n]) * 32)) for n in range(30)
    ]
    found = form.decode(np.sum(rows, axis=0, dtype=np.uint32) & np.uint32((1 << form.modulus_bits) - 1), 30)
    steps = found.mean * 30 / form.step
    low, high = chance.mean_square(20_000)
    assert 30 * 400 * low < np.mean(steps.astype(float) ** 2) < 30 * 400 * high
    assert found.loss == 0.0
