"""Where local training begins: its weights by name, and what came of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgewise_edge.starting_point import BLOCK, StartingPoint
from edgewise_wire.errors import InputError, RunError
from edgewise_wire.weights import Flat, WeightSpec, unflatten

SPECS = (WeightSpec("kernel", (BLOCK, 3)), WeightSpec("slot", (5,), role="slot"), WeightSpec("bias", (7,)))
SIZE = 3 * BLOCK + 7


def numbers(seed: int) -> Flat:
    return np.random.default_rng(seed).standard_normal(SIZE).astype(np.float32)


@pytest.mark.parametrize("lent", [False, True], ids=["in memory", "of a file"])
@pytest.mark.parametrize("where", ["new", "memory", "file"])
def test_the_difference_is_the_same_wherever_its_numbers_lie(tmp_path: Path, lent: bool, where: str) -> None:
    before, after = numbers(1), numbers(2)
    weights = before
    if lent:
        before.tofile(tmp_path / "weights")
        weights = np.asarray(np.memmap(tmp_path / "weights", "<f4", "r"))
    out = {
        "new": None,
        "memory": np.empty(SIZE, np.float32),
        "file": np.memmap(tmp_path / "out", "<f4", "w+", shape=SIZE),
    }[where]
    start = StartingPoint(weights, SPECS, out)
    update, norm = start.difference(unflatten(after, SPECS))
    np.testing.assert_array_equal(update, after - before)
    assert norm == pytest.approx(float(np.linalg.norm((after - before).astype(np.float64))), rel=1e-5)
    assert (update is out) == (out is not None)
    np.testing.assert_array_equal(start.named["bias"], before[-7:])


def test_updates_of_device_after_device_are_new_arrays_unless_room_is_given() -> None:
    start = StartingPoint(numbers(1), SPECS)
    one, _ = start.difference(unflatten(numbers(2), SPECS))
    kept = one.copy()
    start.difference(unflatten(numbers(3), SPECS))
    np.testing.assert_array_equal(one, kept)


def test_weights_of_another_length_are_refused() -> None:
    with pytest.raises(InputError, match=rf"float32\[{SIZE}\], got float32\[4\]"):
        StartingPoint(np.zeros(4, np.float32), SPECS)


def test_local_weights_of_another_shape_are_refused() -> None:
    local = {**unflatten(numbers(2), SPECS), "bias": np.zeros((7, 1), np.float32)}
    with pytest.raises(InputError, match=r"'bias': expected float32\[7\], got float32\[7, 1\]"):
        StartingPoint(numbers(1), SPECS).difference(local)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_weight_that_is_not_finite_any_more_is_named(bad: float) -> None:
    after = numbers(2)
    after[-1] = bad
    with pytest.raises(RunError, match="'bias' is not finite"):
        StartingPoint(numbers(1), SPECS).difference(unflatten(after, SPECS))
