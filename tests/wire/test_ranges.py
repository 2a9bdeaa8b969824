"""A set of chunks and the ranges it travels as."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewise_wire.errors import InputError, ProtocolError
from edgewise_wire.messages import CHUNKS_MAX, Range
from edgewise_wire.ranges import ChunkSet, check_ranges, indices


@settings(derandomize=True, max_examples=200, deadline=None)
@given(st.integers(1, 60).flatmap(lambda count: st.tuples(st.just(count), st.sets(st.integers(0, count - 1)))))
def test_ranges_say_the_set_and_its_complement(case):
    count, wanted = case
    chunks = ChunkSet(count)
    assert all(chunks.add(index) for index in wanted)
    assert list(chunks) == list(indices(chunks.ranges())) == sorted(wanted)
    assert list(indices(chunks.missing())) == [index for index in range(count) if index not in wanted]
    assert list(ChunkSet(count, chunks.ranges())) == sorted(wanted)
    assert chunks.complete == (len(wanted) == count)
    assert len(chunks) == len(wanted)


def test_ranges_are_as_few_as_can_be():
    assert ChunkSet(9, (Range(0, 1), Range(2, 3), Range(5, 8))).ranges() == (Range(0, 3), Range(5, 8))


def test_the_worst_set_of_the_largest_blob_still_fits_a_message():
    chunks = ChunkSet(CHUNKS_MAX, tuple(Range(index, index) for index in range(0, CHUNKS_MAX, 2)))
    assert len(chunks.ranges()) == len(chunks.missing()) == CHUNKS_MAX // 2


def test_a_chunk_counts_once():
    chunks = ChunkSet(3)
    assert [chunks.add(1), chunks.add(1)] == [True, False]
    assert 1 in chunks
    assert 0 not in chunks
    assert 3 not in chunks
    assert "1" not in chunks


@pytest.mark.parametrize("index", [-1, 3, 2**32 - 1])
def test_a_chunk_outside_the_blob_is_refused(index):
    with pytest.raises(ProtocolError, match="expected 0 to 2"):
        ChunkSet(3).add(index)


@pytest.mark.parametrize(
    "ranges",
    [
        (Range(2, 1),),
        (Range(0, 10),),
        (Range(0, 2**32 - 1),),
        (Range(5, 6), Range(1, 2)),
        (Range(0, 3), Range(3, 4)),
        (Range(0, 0), Range(0, 0)),
    ],
)
def test_ranges_that_are_no_plain_list_of_chunks_are_refused_whole(ranges):
    chunks = ChunkSet(10)
    with pytest.raises(ProtocolError, match="ascending"):
        chunks.update(ranges)
    with pytest.raises(ProtocolError):
        check_ranges(ranges, 10)
    assert not list(chunks)


@pytest.mark.parametrize("count", [0, -1, CHUNKS_MAX + 1])
def test_no_set_is_larger_than_a_blob_may_be(count):
    with pytest.raises(InputError, match=f"1 to {CHUNKS_MAX}"):
        ChunkSet(count)
