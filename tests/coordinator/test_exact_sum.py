"""The running sum gives the same bits in every order, and the right numbers."""

import numpy as np
import pytest

from edgewise_coordinator.exact_sum import BLOCK, TERM_LIMIT, ExactSum
from edgewise_wire.errors import InputError


def updates(count: int, size: int) -> list[tuple[np.ndarray, float]]:
    rng = np.random.default_rng(3)
    return [(rng.normal(0, 0.3, size).astype("f4"), float(rng.integers(1, 5000))) for _ in range(count)]


def summed(terms: list[tuple[np.ndarray, float]]) -> ExactSum:
    total = ExactSum(len(terms[0][0]))
    for values, weight in terms:
        total.add(values, weight)
    return total


def test_every_order_gives_the_same_bits() -> None:
    terms = updates(40, BLOCK + 77)
    first = summed(terms).mean().tobytes()
    for seed in range(3):
        shuffled = [terms[i] for i in np.random.default_rng(seed).permutation(len(terms))]
        assert summed(shuffled).mean().tobytes() == first


def test_it_is_the_weighted_average() -> None:
    terms = updates(25, 2 * BLOCK + 3)
    expected = np.average(np.stack([v for v, _ in terms]).astype("f8"), axis=0, weights=np.array([w for _, w in terms]))
    np.testing.assert_allclose(summed(terms).mean(), expected, atol=2e-9, rtol=6e-8)


def test_equal_weights_are_the_plain_mean_and_one_update_is_itself() -> None:
    (a, _), (b, _) = updates(2, 100)
    np.testing.assert_allclose(summed([(a, 7.0), (b, 7.0)]).mean(), np.average([a, b], axis=0), atol=1e-7)
    np.testing.assert_allclose(summed([(a, 3.0)]).mean(), a, atol=2.0**-31)


def test_many_terms_wrap_around_without_harm() -> None:
    # 3,000 times the rounding constant overflows 64 bits; the sum must not.
    total = ExactSum(1)
    for _ in range(3000):
        total.add(np.array([-0.5], "f4"), 1.0)
    assert total.total()[0] == -1500.0


def test_pieces_are_the_same_as_the_whole() -> None:
    ((a, w),) = updates(1, 3 * BLOCK)
    whole, pieces = ExactSum(len(a)), ExactSum(len(a))
    whole.add(a, w)
    pieces.add_blocks(np.array_split(a, 7), w)
    np.testing.assert_array_equal(whole.total(), pieces.total())


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, TERM_LIMIT])
def test_values_it_cannot_hold_are_refused_and_change_nothing(bad: float) -> None:
    total = ExactSum(3)
    with pytest.raises(InputError, match="finite"):
        total.add(np.array([0, bad, 0], "f4"), 1.0)
    assert total.terms == 0
    assert not total.total().any()


@pytest.mark.parametrize("size", [2, 4])
def test_a_wrong_length_is_refused(size: int) -> None:
    with pytest.raises(InputError, match=r"expected float32\[3\]"):
        ExactSum(3).add(np.zeros(size, "f4"), 1.0)


@pytest.mark.parametrize("weight", [0.0, -1.0, np.nan, np.inf])
def test_a_weight_that_is_none_is_refused(weight: float) -> None:
    with pytest.raises(InputError, match="weight of an update"):
        ExactSum(1).add(np.zeros(1, "f4"), weight)


def test_the_mean_of_nothing_is_an_error() -> None:
    with pytest.raises(InputError, match="no updates"):
        ExactSum(1).mean()
