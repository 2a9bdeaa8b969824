"""The rotation: against a matrix written out, its inverse at every length, and numbers that other languages draw."""

from __future__ import annotations

import numpy as np
import pytest

from edgewise_wire.encodings import blocks, padded
from edgewise_wire.transforms import Key
from edgewise_wire.transforms.rotation import Rotation, chunks, hadamard, split_mix


def matrix(order: int) -> np.ndarray:
    """Sylvester's construction."""
    h = np.ones((1, 1))
    while len(h) < order:
        h = np.block([[h, h], [h, -h]])
    return h


@pytest.mark.parametrize("block", [1, 2, 8, 64])
@pytest.mark.parametrize("columns", [1, 3])
def test_the_transform_is_the_hadamard_matrix(block: int, columns: int) -> None:
    x = np.random.default_rng(0).integers(-9, 9, (block, columns)).astype(np.float32)
    found = hadamard(x.copy().reshape(-1), np.empty(x.size, np.float32), block)
    np.testing.assert_array_equal(found, matrix(block) @ x)


@pytest.mark.parametrize("count", [1, 2, 3, 410, 4096, 4097, 300_000])
def test_the_inverse_gives_the_vector_back(count: int) -> None:
    x = np.random.default_rng(count).standard_normal(count).astype(np.float32)
    rotation, out = Rotation(count, Key(1, 2, "pi-7")), np.full(count, np.nan, np.float32)
    for chunk, rotated in rotation.forward(x):
        rotation.inverse(chunk, rotated, out)
    np.testing.assert_allclose(out, x, atol=2e-5)


@pytest.mark.parametrize("count", [1, 5, 4096, 4097, 262_144, 262_145, 1_422_250])
def test_chunks_cover_the_vector_once_and_pad_less_than_a_block(count: int) -> None:
    found = list(chunks(count))
    assert [c.start for c in found] == [0, *(c.stop for c in found[:-1])]
    assert found[-1].stop == count
    assert sum(c.columns for c in found) == blocks(count)
    assert sum(c.padded for c in found) == padded(count)
    assert padded(count) - count < min(4096, max(1, count))


def test_it_keeps_lengths_and_spreads_a_single_value_evenly() -> None:
    x = np.zeros(4096, np.float32)
    x[99] = 2.0
    _, rotated = next(iter(Rotation(4096, Key(1, 2, "pi-7")).forward(x)))
    assert set(np.abs(rotated).ravel().tolist()) == {2.0}


def test_a_spiky_vector_looks_gaussian_afterwards() -> None:
    x = np.random.default_rng(0).lognormal(0, 2, 4096).astype(np.float32)
    _, rotated = next(iter(Rotation(4096, Key(1, 2, "pi-7")).forward(x)))
    z = rotated.ravel() / rotated.std()
    assert np.mean(z**4) == pytest.approx(3.0, abs=0.3)


def test_numbers_that_every_language_draws() -> None:
    """SplitMix64 from seed 1234567, as published with its reference code."""
    expected = [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]
    assert split_mix(1234567, 0, 5).tolist() == expected
    assert split_mix(1234567, 3, 2).tolist() == expected[3:]
    assert Key(1, 2, "pi-7").number("rotation") == 0x13566C9FABCD6AD7
