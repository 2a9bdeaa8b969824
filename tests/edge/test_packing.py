"""Packing at the limits where the answer is known, and as a law for any lengths."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewise_edge.packing import WINDOW, pack


def test_long_examples_have_rows_of_their_own_in_their_order() -> None:
    found = [*pack(range(5), [4] * 5, rows=2, columns=4)]
    assert found == [[(0, 0, 0), (1, 1, 0)], [(2, 0, 0), (3, 1, 0)], [(4, 0, 0)]]


def test_the_fullest_row_that_has_room_is_taken() -> None:
    [batch] = pack(range(3), [3, 1, 2], rows=2, columns=4)
    assert batch == [(0, 0, 0), (1, 0, 3), (2, 1, 0)]


def test_nothing_makes_no_batch() -> None:
    assert [*pack([], [], rows=2, columns=4)] == []


def test_an_example_that_waits_comes_first_in_the_next_batch() -> None:
    [first, second] = pack(range(3), [3, 4, 1], rows=1, columns=4)
    assert (first, second) == ([(0, 0, 0), (2, 0, 3)], [(1, 0, 0)])


def test_only_so_many_examples_are_looked_at() -> None:
    lengths = [3, *[4] * WINDOW, 1]
    assert next(pack(range(len(lengths)), lengths, rows=1, columns=4)) == [(0, 0, 0)]


@settings(deadline=None)  # an emulated processor takes its time
@given(
    st.lists(st.integers(1, 7), max_size=120),
    st.integers(1, 5),
    st.integers(0, 1 << 31),
)
def test_every_example_is_there_once_inside_its_row_and_beside_the_others(
    lengths: list[int], rows: int, seed: int
) -> None:
    order = np.random.default_rng(seed).permutation(len(lengths)).tolist()
    found = [*pack(order, lengths, rows, columns=7)]
    assert sorted(number for batch in found for number, _, _ in batch) == list(range(len(lengths)))
    for batch in found:
        taken = defaultdict(set)
        for number, row, column in batch:
            places = set(range(column, column + lengths[number]))
            assert 0 <= row < rows
            assert max(places) < 7
            assert not places & taken[row]
            taken[row] |= places
