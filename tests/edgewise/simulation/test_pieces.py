"""Pieces of work: each item is given out once, no piece is too long or too short, and all workers end together."""

from __future__ import annotations

import heapq

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewise.simulation.pieces import LEAST_SECONDS, MOST_SECONDS, Pieces

WORKERS = st.integers(1, 8)
SECONDS = st.floats(1e-6, 10.0)


@given(count=st.integers(0, 3000), workers=WORKERS, seconds=st.none() | SECONDS)
def test_every_item_is_given_out_once_and_in_order(count: int, workers: int, seconds: float | None) -> None:
    pieces, found = Pieces(range(count), workers, seconds), list[int]()
    while pieces:
        before = len(pieces)
        piece = pieces.take()
        assert len(pieces) == before - len(piece) < before
        found += piece
    assert found == list(range(count))
    with pytest.raises(IndexError):
        pieces.take()


@given(count=st.integers(1, 3000), workers=WORKERS, seconds=SECONDS)
def test_a_piece_is_neither_too_long_nor_too_short(count: int, workers: int, seconds: float) -> None:
    pieces = Pieces(range(count), workers, seconds)
    while pieces:
        size = len(pieces.take())
        assert size == 1 or (size - 0.5) * seconds <= MOST_SECONDS
        assert not pieces or (size + 0.5) * seconds >= LEAST_SECONDS


@given(count=st.integers(1, 3000), workers=WORKERS, seconds=st.floats(1e-5, 1.0))
def test_nobody_waits_longer_than_a_last_piece_takes(count: int, workers: int, seconds: float) -> None:
    pieces, ends, last = Pieces(range(count), workers, seconds), [0.0] * workers, 0.0
    while pieces:  # whoever is done first takes the next one
        last = len(pieces.take()) * seconds
        heapq.heapreplace(ends, ends[0] + last)
    assert max(ends) - min(ends) <= max(last, seconds, 1.5 * LEAST_SECONDS) * (1 + 1e-9)


def test_what_a_dead_worker_had_comes_first_and_as_it_was() -> None:
    pieces = Pieces(range(10), 2, 1.0)
    one, two = pieces.take(), pieces.take()
    pieces.give_back([two, one])
    assert len(pieces) == 10
    assert pieces.take() is two
    assert pieces.take() is one
    assert pieces.take() == [2]


def test_the_end_is_near_when_each_worker_can_have_one_piece_more_at_most() -> None:
    pieces = Pieces(range(6), 2, 1.0)
    seen = []
    while pieces:
        seen.append(pieces.ending)
        pieces.take()
    assert seen == [False, False, False, False, True, True]
