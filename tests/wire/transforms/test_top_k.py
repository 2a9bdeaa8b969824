"""Top-k: the largest are sent, the rest is owed and said later."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewise_wire.encodings import index_bytes
from edgewise_wire.errors import InputError, ProtocolError
from edgewise_wire.transforms import Key, get
from edgewise_wire.transforms.top_k import _read_indices, _write_indices

KEY = Key(3, 14, "pi-7")


def test_the_largest_are_sent_and_the_rest_is_owed() -> None:
    x = np.random.default_rng(0).standard_normal(10_000).astype(np.float32)
    codec = get("topk-0.01")
    data, residual = codec.encode(x, KEY, None)
    sent = codec.decode(data, len(x), KEY)
    largest = np.argsort(np.abs(x))[-100:]
    assert set(np.flatnonzero(sent)) == set(largest)
    np.testing.assert_allclose(sent[largest], x[largest], rtol=2**-11)
    np.testing.assert_array_equal(sent + residual, x)


def test_what_is_sent_and_owed_over_many_rounds_is_what_was_learned() -> None:
    rng, codec, residual = np.random.default_rng(1), get("topk-0.02"), None
    learned, sent = np.zeros(2000), np.zeros(2000)
    for number in range(200):
        x = rng.standard_normal(2000).astype(np.float32) + np.float32(0.05)
        key = Key(1, number, "pi-7")
        data, residual = codec.encode(x, key, residual)
        learned += x
        sent += codec.decode(data, 2000, key)
    np.testing.assert_allclose(sent + residual, learned, atol=2e-3)
    # Without feedback 2 % of each round would arrive; with it what is owed stays bounded while what was sent grows.
    assert np.linalg.norm(residual) < 0.75 * np.linalg.norm(learned)
    assert sent.mean() > 0.5 * learned.mean()


def test_a_residual_of_another_model_is_refused() -> None:
    with pytest.raises(InputError, match=r"float32\[10\]"):
        get("topk-0.1").encode(np.ones(10, np.float32), KEY, np.ones(9, np.float32))


def test_the_update_is_not_touched() -> None:
    x = np.arange(10, dtype=np.float32)
    before = x.copy()
    get("topk-0.1").encode(x, KEY, None)
    get("topk-0.1").encode(x, KEY, before)
    np.testing.assert_array_equal(x, before)
    np.testing.assert_array_equal(before, np.arange(10))


@settings(max_examples=200, deadline=None)
@given(st.sets(st.integers(0, 5000), min_size=1, max_size=300), st.integers(0, 3000))
def test_indices_come_back_in_a_length_that_their_number_fixes(chosen: set[int], beyond: int) -> None:
    indices = np.array(sorted(chosen), np.uint32)
    parameters = int(indices[-1]) + 1 + beyond
    data = _write_indices(indices, parameters)
    assert len(data) == index_bytes(parameters, len(indices))
    np.testing.assert_array_equal(_read_indices(memoryview(data), parameters, len(indices)), indices)


def test_indices_out_of_order_or_out_of_range_are_refused() -> None:
    codec = get("topk-0.5")
    good = bytearray(codec.encode(np.arange(1, 9, dtype=np.float32), KEY, None).data)
    with pytest.raises(ProtocolError, match="indices"):
        codec.decode(bytes([*good[:16], *b"\xff" * (len(good) - 24), *good[-8:]]), 8, KEY)


def test_an_index_costs_at_most_two_bits_more_than_its_logarithm() -> None:
    for parameters, k in ((1_422_250, 14_223), (1_422_250, 142_225), (100_000, 1000)):
        assert 8 * index_bytes(parameters, k) / k <= 2.1 + np.log2(parameters / k)
