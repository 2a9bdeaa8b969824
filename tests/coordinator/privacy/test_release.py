"""The noise by its distribution, at its limits, and made again.

A Kolmogorov-Smirnov test asks whether n numbers come from a distribution: the largest distance of their empirical
distribution is above c / √n with probability 2·exp(−2c²) if they do. `chance` makes that 1e-11; of the 34 statistics
here whose numbers are drawn anew every time one fails by chance once in three thousand million runs.
"""

import math
import secrets
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import chance
from edgewise_coordinator.exact_sum import ExactSum
from edgewise_coordinator.privacy.mechanisms.banded import banded, optimal_bands
from edgewise_coordinator.privacy.mechanisms.base import Mechanism
from edgewise_coordinator.privacy.mechanisms.gaussian import gaussian
from edgewise_coordinator.privacy.mechanisms.tree import tree
from edgewise_coordinator.privacy.normals import BLOCK, normals
from edgewise_coordinator.privacy.release import GRID, add_noise, forget, grid_sensitivity, make_noise
from edgewise_wire.errors import ConfigError, InputError

KS = chance.kolmogorov()
SIZE = 3 * BLOCK // 2  # a whole block and a part
PHI = np.vectorize(lambda x: 0.5 * math.erfc(-x / math.sqrt(2)))


def is_normal(numbers: NDArray[np.float64]) -> bool:
    ordered, n = np.sort(numbers), len(numbers)
    at = PHI(ordered)
    distance = max(np.max(np.arange(1, n + 1) / n - at), np.max(at - np.arange(n) / n))
    return bool(distance * math.sqrt(n) < KS)


def test_the_false_alarm_rate_is_what_is_said() -> None:
    assert 34 * 2 * math.exp(-2 * KS**2) < 1e-9


def test_fresh_numbers_are_standard_normal() -> None:
    assert is_normal(normals(secrets.token_bytes(32), 0, 0, 50_000))


def test_the_test_sees_what_is_not_normal() -> None:
    numbers = normals(bytes(32), 0, 0, 50_000)
    assert not is_normal(1.1 * numbers)
    assert not is_normal(numbers + 0.06)
    assert not is_normal(np.abs(numbers))


def test_numbers_are_a_function_of_key_stream_and_place() -> None:
    key = secrets.token_bytes(32)
    whole = normals(key, 3, 0, 3 * BLOCK)
    assert (normals(key, 3, BLOCK, BLOCK + 5) == whole[BLOCK : 2 * BLOCK + 5]).all()
    alike = float(np.corrcoef(whole, normals(key, 4, 0, 3 * BLOCK))[0, 1])
    assert abs(alike) < chance.deviations() / math.sqrt(3 * BLOCK)
    assert not (normals(secrets.token_bytes(32), 3, 0, 8) == whole[:8]).any()


@pytest.mark.parametrize("mechanism", [gaussian(), tree(), tree(3), banded(optimal_bands(4, 8))], ids=lambda m: m.name)
def test_the_running_sum_carries_the_noise_that_the_mechanism_says(mechanism: Mechanism, tmp_path: Path) -> None:
    total = np.zeros(SIZE)
    for number in range(1, 9):
        total += make_noise(mechanism.step(number), secrets.token_bytes(32), SIZE, tmp_path)
        forget(mechanism.step(number), tmp_path)
        assert is_normal(total / math.sqrt(mechanism.variance(number)))


@pytest.mark.parametrize("mechanism", [gaussian(), tree(), banded(optimal_bands(4, 8))], ids=lambda m: m.name)
def test_noise_made_again_is_the_same_bits_and_keeps_the_same_files(mechanism: Mechanism, tmp_path: Path) -> None:
    for number in range(1, 7):
        key, step = secrets.token_bytes(32), mechanism.step(number)
        first = make_noise(step, key, SIZE, tmp_path)
        kept = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
        assert (make_noise(step, key, SIZE, tmp_path) == first).all()
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == kept
        forget(step, tmp_path)
        forget(step, tmp_path)
    assert len(list(tmp_path.iterdir())) == {"gaussian": 0, "tree": 2, "banded-4": 3}[mechanism.name]


def test_what_an_earlier_round_kept_is_not_made_up(tmp_path: Path) -> None:
    mechanism = banded(optimal_bands(4, 8))
    with pytest.raises(InputError, match="banded-1: the noise of an earlier round cannot be read"):
        make_noise(mechanism.step(2), bytes(32), SIZE, tmp_path)
    (tmp_path / "banded-1").write_bytes(bytes(8))
    with pytest.raises(InputError, match=f"expected the noise of {SIZE} numbers, got 1"):
        make_noise(mechanism.step(2), bytes(32), SIZE, tmp_path)


def test_no_noise_is_the_plain_sum_and_noise_is_added_as_integers() -> None:
    exact = ExactSum(SIZE)
    exact.add(np.linspace(-1, 1, SIZE, dtype="f4"), 1.0)
    units, noise = exact.units(), normals(bytes(32), 0, 0, SIZE)
    assert (add_noise(units, noise, 0.0) == units).all()
    # Law: the noise that is added does not depend on what it is added to.
    zero = np.zeros_like(units)
    assert (add_noise(units, noise, 0.7) - units == add_noise(zero, noise, 0.7)).all()
    assert is_normal(add_noise(zero, noise, 0.7) * (GRID / 0.7))


def test_rounding_to_the_grid_never_moves_a_sum_by_more_than_is_counted() -> None:
    rng = np.random.default_rng(3)
    update = rng.normal(size=SIZE).astype("f4")
    update /= np.float32(np.linalg.norm(update.astype("f8")))
    exact = ExactSum(SIZE)
    exact.add(update, 1.0)
    moved = float(np.linalg.norm(exact.units() * GRID))
    assert moved <= grid_sensitivity(float(np.linalg.norm(update.astype("f8"))), SIZE)


def test_noise_beyond_the_grid_is_refused() -> None:
    with pytest.raises(ConfigError, match="too large; lower the clipping norm"):
        add_noise(np.zeros(4, np.int64), np.ones(4), 1e10)
