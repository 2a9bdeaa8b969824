import itertools
from collections.abc import Sequence

import numpy as np
import pytest

from edgewise_coordinator.privacy.mechanisms.banded import banded, mean_squared_error, optimal_bands, square_root_bands
from edgewise_coordinator.privacy.mechanisms.base import Mechanism
from edgewise_coordinator.privacy.mechanisms.gaussian import gaussian
from edgewise_coordinator.privacy.mechanisms.tree import tree
from edgewise_coordinator.privacy.tree_sensitivity import _one_in_each_block, subtrees, tree_sensitivity_squared
from edgewise_wire.errors import ConfigError
from noise_tracing import releases

MECHANISMS = [gaussian(), tree(), tree(5), banded(optimal_bands(4, 20)), banded([1.0])]


def patterns(rounds: int, separation: int, most: int | None) -> list[tuple[int, ...]]:
    """Every way in which a device may take part."""
    return [
        chosen
        for count in range(1, rounds + 1)
        if most is None or count <= most
        for chosen in itertools.combinations(range(rounds), count)
        if all(b - a >= separation for a, b in itertools.pairwise(chosen))
    ]


def squares(trees: Sequence[int], chosen: tuple[int, ...]) -> int:
    """What a device that took part in these rounds moves the nodes by, squared and summed; node by node."""
    total, begin = 0, 0
    for size in trees:
        width = 1
        while width <= size:
            for start in range(begin, begin + size, width):
                total += sum(start <= at < start + width for at in chosen) ** 2
            width *= 2
        begin += size
    return total


@pytest.mark.parametrize("separation", [1, 2, 3, 5, 20])
@pytest.mark.parametrize("most", [None, 1, 2, 3])
def test_the_trees_sensitivity_is_the_worst_of_all_ways_to_take_part(separation: int, most: int | None) -> None:
    for rounds in (1, 2, 3, 5, 8, 11):
        for trees in (subtrees(rounds), subtrees(3) * (rounds // 3) + subtrees(rounds % 3)):
            worst = max(squares(trees, chosen) for chosen in patterns(rounds, separation, most))
            assert tree_sensitivity_squared(trees, separation, most) == worst


@pytest.mark.parametrize("rounds", [1, 7, 31, 64])
@pytest.mark.parametrize("separation", [2, 3, 4, 7])
def test_the_bound_for_many_participations_is_from_above(rounds: int, separation: int) -> None:
    trees = subtrees(rounds)
    block = 1 << (separation.bit_length() - 1)
    assert _one_in_each_block(trees, block) >= tree_sensitivity_squared(trees, separation)


@pytest.mark.parametrize("mechanism", MECHANISMS, ids=lambda m: m.name)
def test_the_running_sums_variance_is_that_of_the_noise_followed_vector_by_vector(mechanism: Mechanism) -> None:
    noise = releases(mechanism, 20)
    for steps in range(1, 21):
        total = noise[:steps].sum(axis=0)
        assert mechanism.variance(steps) == pytest.approx(float(total @ total))


@pytest.mark.parametrize("mechanism", [gaussian(), banded(optimal_bands(4, 12))], ids=lambda m: m.name)
@pytest.mark.parametrize("separation", [4, 5, 9])
def test_the_sensitivity_is_the_worst_distance_in_the_noises_own_coordinates(
    mechanism: Mechanism, separation: int
) -> None:
    # y + M·z is a Gaussian mechanism with the sensitivity of M⁻¹·y, whichever way M came about.
    for steps in (1, 3, 7, 12):
        inverse = np.linalg.inv(releases(mechanism, steps))
        worst = 0.0
        for chosen in patterns(steps, separation, None):
            moved = np.zeros(steps)
            moved[list(chosen)] = 1.0
            worst = max(worst, float(np.sum((inverse @ moved) ** 2)))
        assert mechanism.sensitivity(steps, separation, None) == pytest.approx(worst)


def test_honakers_estimate_is_the_best_linear_one_of_the_noised_nodes_below() -> None:
    # Of a tree of 4 leaves: 7 noised nodes; the least-squares estimate of the root's sum has this variance.
    leaves = np.eye(4)
    nodes = np.array([*leaves, leaves[0] + leaves[1], leaves[2] + leaves[3], leaves.sum(axis=0)])
    best = np.ones(4) @ np.linalg.inv(nodes.T @ nodes) @ np.ones(4)
    assert tree().variance(4) == pytest.approx(best)


def test_bands_are_better_than_their_start_and_one_band_is_independent_noise() -> None:
    start, best = square_root_bands(8), optimal_bands(8, 64)
    assert mean_squared_error(best, 64) < mean_squared_error(start, 64) < mean_squared_error(square_root_bands(1), 64)
    assert releases(banded(optimal_bands(1, 3)), 3).tolist() == releases(gaussian(), 3).tolist()


def test_more_bands_than_the_separation_are_refused() -> None:
    with pytest.raises(ConfigError, match="4 bands with a separation of 3 rounds"):
        banded(optimal_bands(4, 20)).sensitivity(20, 3, None)


@pytest.mark.parametrize("column", [[], [0.0, 1.0], [-1.0], [1.0, 0.5]])
def test_a_column_that_is_none_is_refused(column: list[float]) -> None:
    with pytest.raises(ConfigError, match="bands"):
        banded(column)
