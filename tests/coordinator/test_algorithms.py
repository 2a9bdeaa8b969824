"""Server algorithms against readings of their papers in float64 NumPy that share nothing with them."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from edgewise_coordinator.aggregators.median import median
from edgewise_coordinator.algorithms.base import Aggregate, Algorithm
from edgewise_coordinator.algorithms.falling import annealing, halving
from edgewise_coordinator.algorithms.fedadagrad import fedadagrad
from edgewise_coordinator.algorithms.fedadam import fedadam
from edgewise_coordinator.algorithms.fedavg import fedavg
from edgewise_coordinator.algorithms.fedavgm import fedavgm
from edgewise_coordinator.algorithms.fedprox import fedprox
from edgewise_coordinator.algorithms.fedyogi import fedyogi
from edgewise_coordinator.algorithms.scaffold import scaffold
from edgewise_coordinator.algorithms.weight_decay import weight_decay
from edgewise_coordinator.recipe import Recipe
from edgewise_coordinator.update_transforms import norm_bound
from edgewise_wire.errors import ConfigError

SIZE, ROUNDS = 200, 12
EVERY = [fedavg(0.7), fedavgm(0.5), fedadagrad(), fedyogi(), fedadam(), fedprox(0.1), scaffold(10)]
HALVING = halving(fedavgm(0.5), 3)


def deltas(parts: int = 1) -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    return [rng.normal(0, 0.02 * (1 + r % 3), parts * SIZE).astype("f4") for r in range(ROUNDS)]


def start() -> np.ndarray:
    return np.random.default_rng(1).normal(0, 0.3, SIZE).astype("f4")


def run(algorithm: Algorithm, updates: list[np.ndarray], reports: int = 4) -> list[np.ndarray]:
    w = start()
    state = algorithm.init(w)
    path = []
    for update in updates:
        w, state = algorithm.step(w, state, Aggregate(update, reports, 40))
        path.append(w)
    return path


def reddi(second: str, eta: float, beta1: float, beta2: float, tau: float) -> list[np.ndarray]:
    """Reddi et al. 2021, Algorithm 2, one coordinate at a time."""
    path = [start().astype("f8")]
    m, v = np.zeros(SIZE), np.full(SIZE, tau**2)
    for delta in deltas():
        x = path[-1].copy()
        for i in range(SIZE):
            d = float(delta[i])
            m[i] = beta1 * m[i] + (1 - beta1) * d
            if second == "adagrad":
                v[i] = v[i] + d**2
            elif second == "yogi":
                sign = int(v[i] > d**2) - int(v[i] < d**2)
                v[i] = v[i] - (1 - beta2) * d**2 * sign
            else:
                v[i] = beta2 * v[i] + (1 - beta2) * d**2
            x[i] += eta * m[i] / (v[i] ** 0.5 + tau)
        path.append(x)
    return path[1:]


@pytest.mark.parametrize(
    ("algorithm", "reading"),
    [
        (fedadagrad(0.1, 0.0, 1e-2), reddi("adagrad", 0.1, 0.0, 0.0, 1e-2)),
        (fedadagrad(0.05, 0.9, 1e-3), reddi("adagrad", 0.05, 0.9, 0.0, 1e-3)),
        (fedyogi(0.03, 0.9, 1e-3, 0.99), reddi("yogi", 0.03, 0.9, 0.99, 1e-3)),
        (fedadam(0.03, 0.9, 1e-3, 0.99), reddi("adam", 0.03, 0.9, 0.99, 1e-3)),
        (fedadam(1.0, 0.0, 1e-1, 0.5), reddi("adam", 1.0, 0.0, 0.5, 1e-1)),
    ],
    ids=["adagrad", "adagrad with momentum", "yogi", "adam", "adam without momentum"],
)
def test_the_adaptive_ones_are_algorithm_2(algorithm: Algorithm, reading: list[np.ndarray]) -> None:
    for got, expected in zip(run(algorithm, deltas()), reading, strict=True):
        np.testing.assert_allclose(got, expected, atol=2e-6)


def test_fedavgm_is_hsus_momentum() -> None:
    w, v = start().astype("f8"), np.zeros(SIZE)
    for got, delta in zip(run(fedavgm(0.6, 0.8), deltas()), deltas(), strict=True):
        v = 0.8 * v + delta
        w = w + 0.6 * v
        np.testing.assert_allclose(got, w, atol=1e-6)


def test_without_momentum_fedavgm_is_fedavg_bit_for_bit() -> None:
    for one, other in zip(run(fedavgm(0.6, 0.0), deltas()), run(fedavg(0.6), deltas()), strict=True):
        np.testing.assert_array_equal(one, other)


def test_fedprox_without_mu_is_its_server_bit_for_bit() -> None:
    for server in (fedavg(), fedadam()):
        assert fedprox(0.0, server).client == server.client
        for one, other in zip(run(fedprox(0.0, server), deltas()), run(server, deltas()), strict=True):
            np.testing.assert_array_equal(one, other)


def test_scaffolds_server_is_lines_16_and_17() -> None:
    x, c = start().astype("f8"), np.zeros(SIZE)
    algorithm = scaffold(fleet_size=10, server_learning_rate=0.9)
    w, state = start(), algorithm.init(start())
    for update in deltas(parts=2):
        x, c = x + 0.9 * update[:SIZE], c + (4 / 10) * update[SIZE:].astype("f8")
        w, state = algorithm.step(w, state, Aggregate(update, 4, 40))
        np.testing.assert_allclose(w, x, atol=1e-6)
        np.testing.assert_allclose(state["control"], c, atol=1e-6)


def test_scaffolds_control_variate_stays_the_mean_of_the_devices_own() -> None:
    """Law of lines 13 to 17: if every Δcᵢ is in, c = (1/N) Σ cᵢ."""
    rng, devices = np.random.default_rng(5), 6
    own = np.zeros((devices, SIZE), "f4")
    algorithm = scaffold(devices)
    w, state = start(), algorithm.init(start())
    for _ in range(8):
        cohort = rng.choice(devices, 3, replace=False)
        fresh = rng.normal(0, 1, (3, SIZE)).astype("f4")
        change = (fresh - own[cohort]).mean(0)
        own[cohort] = fresh
        w, state = algorithm.step(w, state, Aggregate(np.concatenate([np.zeros(SIZE, "f4"), change]), 3, 3))
        np.testing.assert_allclose(state["control"], own.mean(0), atol=1e-6)


@pytest.mark.parametrize("algorithm", [*EVERY, HALVING], ids=lambda a: a.name)
def test_the_state_survives_a_file_and_goes_on_bit_for_bit(algorithm: Algorithm) -> None:
    updates = deltas(algorithm.client.parts)
    undisturbed = run(algorithm, updates)
    w = start()
    state = algorithm.init(w)
    for update, expected in zip(updates, undisturbed, strict=True):
        w, state = algorithm.step(w, state, Aggregate(update, 4, 40))
        file = io.BytesIO()
        np.savez(file, **state)
        file.seek(0)
        with np.load(file, allow_pickle=False) as archive:
            state = dict(archive)
        np.testing.assert_array_equal(w, expected)
        assert w.dtype == np.float32


@pytest.mark.parametrize("algorithm", EVERY, ids=lambda a: a.name)
def test_nothing_handed_in_is_written(algorithm: Algorithm) -> None:
    w, update = start(), deltas(algorithm.client.parts)[0]
    state = algorithm.init(w)
    copies = w.copy(), {k: v.copy() for k, v in state.items()}, update.copy()
    algorithm.step(w, state, Aggregate(update, 4, 40))
    np.testing.assert_array_equal(w, copies[0])
    np.testing.assert_array_equal(update, copies[2])
    for name, array in state.items():
        np.testing.assert_array_equal(array, copies[1][name])


@pytest.mark.parametrize(
    "build",
    [
        lambda: fedavg(0.0),
        lambda: fedavgm(momentum=1.0),
        lambda: fedadam(beta2=1.0),
        lambda: fedyogi(adaptivity=0.0),
        lambda: fedadagrad(server_learning_rate=float("nan")),
        lambda: fedprox(-0.1),
        lambda: fedprox(float("inf")),
        lambda: scaffold(0),
    ],
)
def test_settings_out_of_range_are_named(build: Callable[[], Algorithm]) -> None:
    with pytest.raises(ConfigError, match="expected"):
        build()


def test_combinations_that_make_no_sense_are_refused_with_a_sentence() -> None:
    with pytest.raises(ConfigError, match="scaffold with median: its control variate must be the mean"):
        Recipe(scaffold(3), median())
    with pytest.raises(ConfigError, match="no longer match"):
        Recipe(scaffold(3), transform=norm_bound(1.0))


def test_a_state_that_another_algorithm_left_begins_anew() -> None:
    w = start()
    assert set(Recipe(fedadam()).state_of(w, fedavgm().init(w))) == {"m", "v"}
    kept = fedavgm().init(w)
    assert Recipe(fedavgm()).state_of(w, kept) is kept


@pytest.mark.parametrize(
    ("falling", "part"),
    [
        (halving(fedadam(0.01), 4), lambda number: 0.5 ** (number / 4)),
        (annealing(fedadam(0.01), 8), lambda number: max(0, 1 - number / 8)),  # and nothing in the last four rounds
    ],
    ids=["halving", "annealing"],
)
def test_a_falling_rate_is_the_same_algorithm_with_the_rate_of_each_round(
    falling: Algorithm, part: Callable[[int], float]
) -> None:
    path, w = [], start()
    state = fedadam().init(w)
    for number, update in enumerate(deltas()):
        # FedAdam's moments do not depend on its rate: each round may have its own.
        after, state = fedadam(0.01).step(w, state, Aggregate(update, 4, 40))
        w = w + np.float32(part(number)) * (after - w)
        path.append(w)
    for found, expected in zip(run(falling, deltas()), path, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-7)


def test_weights_decay_beside_the_step_and_fall_with_a_halving_rate() -> None:
    w, update = start(), deltas()[0]
    for number, (found, _) in enumerate(_versions(halving(weight_decay(fedavg(0.7), 0.01), 2), w, update)):
        part = 0.5 ** (number / 2)
        w = w + part * (0.7 * update - 0.01 * w)
        np.testing.assert_allclose(found, w, atol=1e-6)


def _versions(algorithm: Algorithm, w: np.ndarray, update: np.ndarray) -> Iterator[tuple[np.ndarray, Any]]:
    state = algorithm.init(w)
    for _ in range(5):
        w, state = algorithm.step(w, state, Aggregate(update, 4, 40))
        yield w, state


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, float("nan")])
def test_a_share_of_a_weight_is_more_than_none_and_less_than_all(share: float) -> None:
    with pytest.raises(ConfigError, match="server weight decay: expected"):
        weight_decay(fedavg(), share)


@pytest.mark.parametrize("every", [0.0, -1.0, float("nan"), float("inf")])
def test_a_rate_halves_after_a_positive_number_of_versions(every: float) -> None:
    with pytest.raises(ConfigError, match="server halving: expected a positive number, got"):
        halving(fedavg(), every)
    with pytest.raises(ConfigError, match="server annealing: expected a positive number, got"):
        annealing(fedavg(), every)
