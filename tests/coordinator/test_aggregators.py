"""Aggregators against readings of their papers in plain NumPy, whatever the order of arrival."""

from __future__ import annotations

import itertools
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgewise_coordinator.aggregators import order
from edgewise_coordinator.aggregators.base import Aggregator
from edgewise_coordinator.aggregators.krum import krum, squared_distances
from edgewise_coordinator.aggregators.mean import mean
from edgewise_coordinator.aggregators.median import median
from edgewise_coordinator.aggregators.trimmed_mean import trimmed_mean
from edgewise_coordinator.spooled import Spooled
from edgewise_wire.errors import ConfigError, InputError

Spool = Callable[..., list[Spooled]]
ALL = [mean(), trimmed_mean(0.2), median(), krum(1), krum(2, keep=3)]


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    def make(values: np.ndarray, weights: list[float] | None = None, factors: list[float] | None = None):
        out = []
        for i, row in enumerate(np.asarray(values, "<f4")):
            path = tmp_path / f"d{i:02}-1.update"
            path.write_bytes(row.tobytes())
            out.append(Spooled(path, len(row), (weights or [1.0] * 99)[i], (factors or [1.0] * 99)[i]))
        return out

    return make


def updates(devices: int = 9, size: int = 3000, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, (devices, size)).astype("f4")


def aggregate(aggregator: Aggregator, terms: list[Spooled]) -> np.ndarray:
    total = aggregator.start(terms[0].size)
    for term in terms:
        term.measure(total.check, 1e6)
        total.add(term)
    assert total.terms == len(terms)
    return total.result()


def numpy_trimmed(values: np.ndarray, cut: int) -> np.ndarray:
    """Yin et al. 2018, Definition 2, coordinate by coordinate."""
    out = []
    for column in values.astype("f8").T:
        kept = sorted(column)[cut : len(column) - cut]
        out.append(sum(kept) / len(kept))
    return np.array(out)


def numpy_krum(values: np.ndarray, f: int, keep: int) -> np.ndarray:
    """Blanchard et al. 2017, §3: every pair on its own, in float64."""
    wide = values.astype("f8")
    n = len(wide)
    scores = []
    for i in range(n):
        near = sorted(float(((wide[i] - wide[j]) ** 2).sum()) for j in range(n) if j != i)
        scores.append(sum(near[: n - f - 2]))
    return wide[np.argsort(scores, kind="stable")[:keep]].mean(0)


def test_the_mean_is_numpys_weighted_average(spool: Spool) -> None:
    values, weights = updates(), [float(w) for w in range(1, 10)]
    expected = np.average(values.astype("f8"), axis=0, weights=weights)
    np.testing.assert_allclose(aggregate(mean(), spool(values, weights)), expected, atol=1e-8)


def test_a_factor_shrinks_a_term_and_not_what_the_mean_is_divided_by(spool: Spool) -> None:
    values = np.array([[4.0], [8.0]])
    assert aggregate(mean(), spool(values, [3.0, 1.0], [0.5, 0.25])) == pytest.approx([(3 * 2 + 1 * 2) / 4])


@pytest.mark.parametrize(("share", "cut"), [(0.0, 0), (0.1, 1), (0.2, 2), (0.4, 4), (0.49, 4)])
def test_the_trimmed_mean_is_that_of_its_definition(spool: Spool, share: float, cut: int) -> None:
    values = updates()
    np.testing.assert_allclose(aggregate(trimmed_mean(share), spool(values)), numpy_trimmed(values, cut), atol=1e-8)


@pytest.mark.parametrize("devices", [1, 2, 3, 8, 9])
def test_the_median_is_numpys(spool: Spool, devices: int) -> None:
    values = updates(devices)
    np.testing.assert_allclose(aggregate(median(), spool(values)), np.median(values.astype("f8"), 0), atol=1e-8)


@pytest.mark.parametrize(("f", "keep"), [(0, 1), (1, 1), (3, 1), (2, 4)])
def test_krum_is_that_of_its_definition(spool: Spool, f: int, keep: int) -> None:
    values = updates()
    np.testing.assert_allclose(aggregate(krum(f, keep), spool(values)), numpy_krum(values, f, keep), atol=1e-7)


def test_krums_distances_hold_where_updates_are_almost_the_same(spool: Spool) -> None:
    values = 100.0 + 1e-3 * updates(5, 500)
    wide = values.astype("f4").astype("f8")
    expected = ((wide[:, None] - wide[None]) ** 2).sum(-1)
    np.testing.assert_allclose(squared_distances(spool(values)), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("aggregator", ALL, ids=lambda a: a.name)
def test_the_order_of_arrival_changes_no_bit(spool: Spool, aggregator: Aggregator) -> None:
    terms = spool(updates(7, 400), [float(w) for w in (3, 1, 4, 1, 5, 9, 2)])
    first = aggregate(aggregator, terms).tobytes()
    for turned in itertools.islice(itertools.permutations(terms), 0, 5040, 501):
        assert aggregate(aggregator, list(turned)).tobytes() == first


@pytest.mark.parametrize("aggregator", ALL, ids=lambda a: a.name)
def test_the_size_of_a_block_changes_no_more_than_rounding(
    spool: Spool, aggregator: Aggregator, monkeypatch: pytest.MonkeyPatch
) -> None:
    terms = spool(updates(7, 5000))
    whole = aggregate(aggregator, terms)
    monkeypatch.setattr(order, "BLOCK_BYTES", 1)
    np.testing.assert_array_equal(aggregate(aggregator, terms), whole)


@pytest.mark.parametrize("aggregator", ALL[1:], ids=lambda a: a.name)
def test_hostile_updates_have_no_hold(spool: Spool, aggregator: Aggregator) -> None:
    values = updates(9, 200)
    honest = aggregate(aggregator, spool(values))
    values[4] = 1e4
    assert np.abs(aggregate(aggregator, spool(values)) - honest).max() < 0.5
    assert np.abs(aggregate(mean(), spool(values))).max() > 1000


@pytest.mark.parametrize("aggregator", ALL, ids=lambda a: a.name)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused_before_it_is_added(spool: Spool, aggregator: Aggregator, value: float) -> None:
    values = updates(2, 10)
    values[1, 3] = value
    total = aggregator.start(10)
    with pytest.raises(InputError, match="finite"):
        spool(values)[1].measure(total.check, 1e6)


def test_files_of_another_length_are_refused(spool: Spool) -> None:
    (term,) = spool(updates(1, 10))
    for size, words in ((9, "got more"), (11, "got 10 numbers")):
        with pytest.raises(InputError, match=words):
            Spooled(term.path, size, 1.0).measure(None, 1e6)
    with pytest.raises(InputError, match="cannot be read"):
        Spooled(term.path.with_name("gone"), 10, 1.0).measure(None, 1e6)


def test_the_norm_is_checked_before_anything_else(spool: Spool) -> None:
    with pytest.raises(InputError, match="L2 norm of at most 1, got 1e"):
        spool(np.full((1, 4), 5e8))[0].measure(mean().start(4).check, 1.0)


def test_krum_says_how_many_reports_it_needs(spool: Spool) -> None:
    with pytest.raises(InputError, match="at least 7 reports"):
        aggregate(krum(2), spool(updates(6, 10)))


@pytest.mark.parametrize("build", [lambda: trimmed_mean(0.5), lambda: krum(-1), lambda: krum(1, keep=0)])
def test_settings_out_of_range_are_named(build: Callable[[], Aggregator]) -> None:
    with pytest.raises(ConfigError, match="expected"):
        build()


@pytest.mark.parametrize("aggregator", [mean(), median(), trimmed_mean(), krum(1)], ids=lambda a: a.name)
def test_memory_is_blocks_and_not_devices_times_model(
    spool: Spool, aggregator: Aggregator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(order, "BLOCK_BYTES", 1 << 20)
    terms = spool(updates(24, 400_000))  # 38 MB on disk, a model of 1.6 MB
    tracemalloc.start()
    try:
        aggregate(aggregator, terms)
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()
