import numpy as np
import pytest

from edgewise_wire.errors import ConfigError, InputError, ProtocolError
from edgewise_wire.secure.fixed_point import FixedPoint
from edgewise_wire.secure.form import packed_bytes
from edgewise_wire.secure.words import pack, unpack


def dice() -> np.random.Generator:
    return np.random.default_rng(5)


@pytest.mark.parametrize("width", range(1, 33))
def test_words_of_any_width_come_back(width: int) -> None:
    words = np.random.default_rng(width).integers(0, 1 << width, 1003, np.uint64).astype(np.uint32)
    data = pack(words, width)
    assert len(data) == packed_bytes(1003, width)
    assert np.array_equal(unpack(data, 1003, width), words)
    assert len(data) <= 1003 * width / 8 + width % 8


def test_words_of_the_wrong_length_are_refused() -> None:
    with pytest.raises(ProtocolError, match="expected 34 bytes, got 32"):
        unpack(bytes(32), 10, 26)


@pytest.mark.parametrize("value", [1.0, -1.0])
@pytest.mark.parametrize("cohort", [1, 7, 1024])
def test_the_sum_of_a_whole_cohort_at_the_limit_does_not_wrap(cohort: int, value: float) -> None:
    form = FixedPoint(cohort, 16, 1.0, weight_max=50)
    words = form.encode(np.full(3, 9 * value, "f4"), 1000, 99.0, dice())
    total = (words.astype(np.uint64) * cohort).astype(np.uint32) & np.uint32((1 << form.modulus_bits) - 1)
    found = form.decode(total, cohort)
    assert found.mean.tolist() == [value] * 3
    assert found.weight == 50 * cohort
    assert found.loss == pytest.approx(32.0)


def test_no_bit_more_than_the_sum_needs() -> None:
    assert FixedPoint(1024, 16, 1.0).modulus_bits == 26
    assert FixedPoint(1, 16, 1.0).modulus_bits == 16
    assert FixedPoint(8, 2, 1.0).modulus_bits == 5


@pytest.mark.parametrize("bits", [2, 4, 8, 16, 24])
def test_the_mean_is_the_weighted_mean_to_a_step(bits: int) -> None:
    form, generator = FixedPoint(20, bits, 2.0, weight_max=30), np.random.default_rng(1)
    updates = generator.uniform(-1.9, 1.9, (20, 50)).astype("f4")
    weights = [int(w) for w in generator.integers(1, 31, 20)]
    rows = [form.encode(u, w, 1.5, generator) for u, w in zip(updates, weights, strict=True)]
    found = form.decode(np.sum(rows, axis=0, dtype=np.uint32) & np.uint32((1 << form.modulus_bits) - 1), 20)
    expected = np.average(updates.astype("f8"), axis=0, weights=weights)
    assert np.abs(found.mean - expected).max() <= form.step * 20 * 30 / sum(weights) + 1e-6
    assert found.weight == sum(weights)


def test_rounding_is_right_on_average() -> None:
    """A number of 0.3 steps, 40,000 times: the mean is 0.3 within five standard errors; the dice are fixed."""
    form = FixedPoint(1, 8, 1.0)
    words = form.encode(np.full(40_000, 0.3 * form.step, "f4"), 1, 0.0, dice())[:-2]
    assert set(words.tolist()) == {0, 1}
    assert abs(words.mean() - 0.3) < 5 * np.sqrt(0.21 / 40_000)


def test_more_examples_than_the_largest_weight_count_as_that() -> None:
    form = FixedPoint(2, 16, 1.0, weight_max=10)
    assert form.encode(np.zeros(1, "f4"), 10**9, 1.0, dice())[-2] == 10
    assert FixedPoint(2, 16, 1.0).encode(np.zeros(1, "f4"), 500, 1.0, dice())[-2] == 1


def test_what_has_no_form_is_refused() -> None:
    with pytest.raises(ConfigError, match="needs 34 bits"):
        FixedPoint(1024, 24, 1.0)
    with pytest.raises(ConfigError, match="2 to 24 bits"):
        FixedPoint(4, 1, 1.0)
    with pytest.raises(ConfigError, match="range above 0"):
        FixedPoint(4, 16, float("nan"))
    with pytest.raises(ConfigError, match="variance"):
        FixedPoint(4, 16, 1.0, noise=float("nan"))
    with pytest.raises(InputError, match="finite"):
        FixedPoint(4, 16, 1.0).encode(np.array([np.nan], "f4"), 1, 0.0, dice())


def test_a_sum_with_impossible_weights_is_refused() -> None:
    form = FixedPoint(8, 16, 1.0, weight_max=4)
    with pytest.raises(ProtocolError, match="weights of 3 to 12 in all, got 13"):
        form.decode(np.array([0, 13, 0], np.uint32), 3)
