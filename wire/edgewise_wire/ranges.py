"""Which chunks of a blob are there: a set of indices that travels as a few ranges."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

from edgewise_wire.errors import InputError, ProtocolError
from edgewise_wire.messages import CHUNKS_MAX, Range


class ChunkSet:
    """A set of chunk indices from 0 to `count` - 1, one byte each in memory.

    Args:
        count: how many chunks the blob has, 1 to `CHUNKS_MAX`.
        ranges: the chunks that are in the set from the start, as `ranges` returns them.

    Raises:
        InputError: if `count` is out of bounds.
        ProtocolError: if `ranges` are; see `update`.

    Example:
        >>> chunks = ChunkSet(6, (Range(0, 1),))
        >>> chunks.add(3), chunks.add(3)
        (True, False)
        >>> chunks.missing()
        (Range(first=2, last=2), Range(first=4, last=5))
    """

    __slots__ = ("_flags",)

    def __init__(self, count: int, ranges: Iterable[Range] = ()) -> None:
        if not 1 <= count <= CHUNKS_MAX:
            raise InputError(f"chunk set of {count} chunks: expected 1 to {CHUNKS_MAX}")
        self._flags = bytearray(count)
        self.update(ranges)

    @property
    def count(self) -> int:
        """How many chunks there are in all."""
        return len(self._flags)

    @property
    def complete(self) -> bool:
        """Whether every chunk is in the set."""
        return len(self) == self.count

    def add(self, index: int) -> bool:
        """Add one chunk; return whether it is new.

        Raises:
            ProtocolError: if `index` is not a chunk of the blob.
        """
        check_index(index, self.count)
        new = not self._flags[index]
        self._flags[index] = 1
        return new

    def update(self, ranges: Iterable[Range]) -> None:
        """Add the chunks of `ranges`, which a peer may have sent.

        Raises:
            ProtocolError: if they are not in ascending order without overlap inside the blob; nothing is added then.
        """
        checked = tuple(ranges)
        check_ranges(checked, self.count)
        for one in checked:
            self._flags[one.first : one.last + 1] = b"\x01" * (one.last + 1 - one.first)

    def ranges(self) -> tuple[Range, ...]:
        """Return the chunks in the set, as few ranges as can say it."""
        return self._runs(1)

    def missing(self) -> tuple[Range, ...]:
        """Return the chunks that are not in the set, as few ranges as can say it."""
        return self._runs(0)

    def _runs(self, wanted: int) -> tuple[Range, ...]:
        runs = (tuple(run) for flag, run in groupby(range(self.count), self._flags.__getitem__) if flag == wanted)
        return tuple(Range(run[0], run[-1]) for run in runs)

    def __contains__(self, index: object) -> bool:
        return isinstance(index, int) and 0 <= index < self.count and self._flags[index] == 1

    def __iter__(self) -> Iterator[int]:
        return (index for index, flag in enumerate(self._flags) if flag)

    def __len__(self) -> int:
        return self._flags.count(1)

    def __repr__(self) -> str:
        return f"ChunkSet({self.count}, {self.ranges()!r})"


def check_index(index: int, count: int) -> None:
    """Raise `ProtocolError` unless `index` is one of `count` chunks."""
    if not 0 <= index < count:
        raise ProtocolError(f"chunk {index}: expected 0 to {count - 1}")


def check_ranges(ranges: Iterable[Range], count: int) -> None:
    """Raise `ProtocolError` unless `ranges` ascend without overlap within `count` chunks.

    There can be no more than `count` of such ranges, so whoever walks them does bounded work.

    Example:
        >>> check_ranges((Range(0, 1), Range(4, 9)), 10)
    """
    least = 0
    for one in ranges:
        if not least <= one.first <= one.last < count:
            raise ProtocolError(
                f"chunks {one.first} to {one.last}: expected ascending ranges between {least} and {count - 1}"
            )
        least = one.last + 1


def indices(ranges: Iterable[Range]) -> Iterator[int]:
    """Return every chunk index in `ranges`, in order; check ranges from a peer with `check_ranges` first.

    Example:
        >>> list(indices((Range(0, 1), Range(4, 4))))
        [0, 1, 4]
    """
    return (index for one in ranges for index in range(one.first, one.last + 1))
