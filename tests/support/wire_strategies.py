"""Hypothesis strategies for the wire: any message that the dataclasses allow, and bytes that are almost one."""

from __future__ import annotations

import struct
from functools import cache
from typing import Any

from hypothesis import strategies as st

from edgewise_wire.codec.layout import ENVELOPE, Kind, TableLayout, UnionType, UnionValue, Vector
from edgewise_wire.fields import Octets, Scalar, Utf8
from edgewise_wire.messages import Envelope

LONGEST = 200  # bytes; longer fields have tests of their own, and more of them find nothing more
INTERESTING = (0, 1, 2, 3, 4, 5, 8, 31, 33, 65, 127, 128, 255, 256, 1901, 2**15, 2**16 - 1, 2**20, 2**30 + 1)
INTERESTING_32 = (*INTERESTING, 2**31 - 1, 2**31, 2**32 - 8, 2**32 - 4, 2**32 - 1)


def envelopes(*, nan: bool = False) -> st.SearchStrategy[Envelope]:
    """Return any envelope around any body."""
    kind = next(slot.kind for slot in ENVELOPE.slots if isinstance(slot.kind, UnionValue))
    return st.one_of([_envelopes_of(member, nan) for member in kind.members])


@cache
def _envelopes_of(member: TableLayout, nan: bool) -> st.SearchStrategy[Envelope]:
    plain = [slot for slot in ENVELOPE.slots if not isinstance(slot.kind, UnionType | UnionValue)]
    around = {slot.name: _values(slot.kind, nan) for slot in plain}
    return st.builds(Envelope, body=_tables(member, nan), **around)


def _tables(layout: TableLayout, nan: bool) -> st.SearchStrategy[Any]:
    fields = {slot.name: st.just(slot.default) | _values(slot.kind, nan) for slot in layout.slots}
    return st.builds(layout.message, **fields)


def _values(kind: Kind, nan: bool) -> st.SearchStrategy[Any]:
    if isinstance(kind, Scalar):
        return _numbers(kind.code, nan)
    if isinstance(kind, Octets):
        return st.binary(min_size=kind.least, max_size=min(kind.most, LONGEST))
    if isinstance(kind, Utf8):
        letters = st.characters(exclude_categories=["Cs"])
        return st.text(letters, max_size=kind.most).filter(lambda text: len(text.encode()) <= kind.most)
    if isinstance(kind, Vector):
        return st.lists(_tables(kind.item, nan), max_size=4).map(tuple)
    assert isinstance(kind, TableLayout)
    return _tables(kind, nan)


def _numbers(code: str, nan: bool) -> st.SearchStrategy[Any]:
    if code == "?":
        return st.booleans()
    if code in "fd":
        return st.floats(width=32 if code == "f" else 64, allow_nan=nan)
    most = 2 ** (8 * struct.calcsize(f"<{code}")) - 1
    return st.integers(0, most) | st.sampled_from((most, most - 1, 1))


@st.composite
def damaged(draw: st.DrawFn, payloads: st.SearchStrategy[bytes]) -> bytes:
    """Return a good message after one to four cuts, insertions, and numbers put where they do not belong."""
    payload = bytearray(draw(payloads))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(payload) - 4)))
        how = draw(st.sampled_from("BHIIICXD"))
        if how in "BHI":
            size = struct.calcsize(how)
            number = draw(st.sampled_from(INTERESTING_32)) % 2 ** (8 * size)
            payload[at : at + size] = number.to_bytes(size, "little")
        elif how == "C":
            del payload[at:]
        elif how == "X":
            payload[at:at] = draw(st.binary(min_size=1, max_size=8))
        else:
            del payload[at : at + draw(st.integers(1, 8))]
    return bytes(payload)
