import math
import random

import pytest

import chance
from edgewise_wire.errors import ConfigError
from edgewise_wire.secure.graph import Graph, Plan, least_quorum, plan, unsafe


@pytest.mark.parametrize(("size", "degree"), [(2, 1), (5, 4), (9, 4), (64, 10), (65, 12)])
def test_every_device_has_as_many_neighbours_and_they_have_it(size: int, degree: int) -> None:
    graph = Graph(b"s" * 32, size, degree)
    for device in range(size):
        near = graph.neighbours(device)
        assert len(near) == degree == len(set(near))
        assert device not in near
        assert list(near) == sorted(near)
        assert all(device in graph.neighbours(other) for other in near)


def test_the_seed_decides_who_is_whose_neighbour() -> None:
    one, same, other = Graph(b"1" * 32, 50, 6), Graph(b"1" * 32, 50, 6), Graph(b"2" * 32, 50, 6)
    assert [one.neighbours(i) for i in range(50)] == [same.neighbours(i) for i in range(50)]
    assert [one.neighbours(i) for i in range(50)] != [other.neighbours(i) for i in range(50)]


def test_each_pair_is_as_likely_as_another() -> None:
    """Over 400 seeds a pair of 20 devices is linked 4/19 of the time; chi-square over 190 pairs, fixed seeds."""
    counts = [[0] * 20 for _ in range(20)]
    for seed in range(400):
        graph = Graph(seed.to_bytes(32, "big"), 20, 4)
        for i in range(20):
            for j in graph.neighbours(i):
                counts[i][j] += 1
    expected = 400 * 4 / 19
    spread = sum((counts[i][j] - expected) ** 2 / expected for i in range(20) for j in range(i))
    # Fixed degrees make the pairs a little dependent, and the statistic smaller than chi-square with 189 degrees.
    assert spread < chance.chi_square(189)


@pytest.mark.parametrize("size", [2, 3, 8, 64, 256, 1024, 1536])
@pytest.mark.parametrize("dropout", [0.1, 0.25, 1 / 3])
def test_every_plan_is_one_that_devices_take(size: int, dropout: float) -> None:
    made = plan(size, dropout=dropout)
    assert unsafe(made) is None
    assert made.quorum <= size - int(dropout * size)


def test_a_sparse_graph_grows_far_slower_than_the_cohort() -> None:
    assert plan(1536, dropout=0.1).degree < 1.1 * plan(1024, dropout=0.1).degree
    assert plan(1024, dropout=0.1).degree < 1024 / 8


def test_the_bound_is_the_hypergeometric_tail_that_counting_gives() -> None:
    """The threshold is the smallest that exact integers allow."""
    size, bad, made = 256, 12, plan(256, dropout=0.1)
    half = made.degree // 2

    def chance(least: int) -> float:  # of at least so many corrupt ones in one of `size` windows, by the union bound
        ways = sum(math.comb(bad, k) * math.comb(size - bad, half - k) for k in range(least, bad + 1))
        return size * ways / math.comb(size, half)

    most = made.threshold - half - 2
    assert chance(most + 1) <= 2**-40 < chance(most)


def test_drop_outs_at_random_leave_enough_shares() -> None:
    made, generator, failed = plan(128, dropout=0.25, eta=7), random.Random(5), 0
    graph = Graph(bytes(32), 128, made.degree)
    for _ in range(200):
        silent = set(generator.sample(range(128), 32))
        failed += any(len(set(graph.neighbours(i)) - silent) < made.threshold for i in range(128))
    assert failed <= 6  # 200 · 2^-7 = 1.6 at most; the seeds are fixed


def test_no_gap_that_a_coordinator_makes_lets_it_unmask_a_part_of_the_ring() -> None:
    """Whoever is silenced: the device at the edge of a gap keeps too few holders to be unmasked."""
    made = plan(64, dropout=0.1)
    graph, half = Graph(bytes(32), 64, made.degree), made.degree // 2
    place = [graph._order[i] for i in range(64)]
    for length in range(half, 64 - made.quorum + 1):
        silent = set(place[:length])
        edge = place[length]
        helpers = [holder for holder in graph.holders(edge) if holder not in silent]
        assert len(helpers) < made.threshold


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (Plan(100, 20, 14, 50), "two lists of survivors"),
        (Plan(100, 20, 11, 60), "expected at least"),
        (Plan(100, 21, 19, 60), "is none"),
        (Plan(100, 20, 22, 60), "open a secret"),
        (Plan(8, 7, 3, 5), "expected at least 5"),
    ],
)
def test_a_device_refuses_a_graph_that_protects_it_too_little(made: Plan, why: str) -> None:
    assert why in (unsafe(made) or "")


def test_two_quorums_have_an_honest_device_in_common() -> None:
    for size in range(2, 200):
        assert 2 * least_quorum(size) - size > int(0.05 * size)


def test_what_cannot_be_is_said() -> None:
    with pytest.raises(ConfigError, match="2 to 1536"):
        plan(1)
    with pytest.raises(ConfigError, match="must agree"):
        plan(100, dropout=0.5)
