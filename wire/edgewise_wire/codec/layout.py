"""From the message dataclasses to FlatBuffers tables: which slot, how wide, which bound, which default.

Resolved once from the annotations in `messages.py`, so a field and its limit are written down in one place only.
"""

from __future__ import annotations

import dataclasses
import struct
import types
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, TypeAlias, Union, get_args, get_origin, get_type_hints

from edgewise_wire.fields import Many, Octets, Scalar, Utf8
from edgewise_wire.messages import BODIES, Envelope

IDENTIFIER = b"EWM1"  # bytes 4 to 7 of every message, FlatBuffers' file_identifier
OFFSET_BYTES = 4
DEPTH_MAX = 4  # envelope, body, table of the body, table of a vector in it
ABSENT: dict[type, Any] = {bool: False, int: 0, float: 0.0, bytes: b"", str: ""}


@dataclass(frozen=True, slots=True)
class Vector:
    """A vector of at most `most` tables of one type."""

    item: TableLayout
    most: int


@dataclass(frozen=True, slots=True)
class UnionType:
    """The byte that says which member a union holds; the member's own offset stands in the next slot."""


@dataclass(frozen=True, slots=True)
class UnionValue:
    """The offset of a union's member: member `n` of the union has number `n + 1`."""

    members: tuple[TableLayout, ...]


Kind: TypeAlias = "Scalar | Octets | Utf8 | TableLayout | Vector | UnionType | UnionValue"


@dataclass(frozen=True, slots=True)
class SlotLayout:
    """One slot of a table: `label` names it in errors, `width` is its size inside the table in bytes."""

    name: str
    label: str
    kind: Kind
    width: int
    default: Any


@dataclass(frozen=True, slots=True)
class TableLayout:
    """One table: the dataclass it holds and its slots in the order of the vtable."""

    message: type
    slots: tuple[SlotLayout, ...]


@cache
def table_layout(message: type, depth: int = 1) -> TableLayout:
    """Return the layout of a message dataclass.

    Raises:
        TypeError: if the class nests deeper than `DEPTH_MAX` (or in itself), or has a field that no kind describes.
            The depth of what the reader follows is therefore fixed by the schema; input cannot deepen it.

    Example:
        >>> from edgewise_wire.messages import Range
        >>> [slot.name for slot in table_layout(Range).slots]
        ['first', 'last']
    """
    if depth > DEPTH_MAX:
        raise TypeError(f"{message.__name__}: messages nest at most {DEPTH_MAX} tables deep")
    hints = get_type_hints(message, include_extras=True)
    slots: list[SlotLayout] = []
    for field in dataclasses.fields(message):
        slots.extend(_slots(message, field, hints[field.name], depth))
    return TableLayout(message, tuple(slots))


def _slots(message: type, field: dataclasses.Field[Any], hint: Any, depth: int) -> list[SlotLayout]:
    label = f"{message.__name__}.{field.name}"
    kind, absent = _kind(label, hint, depth)
    default = absent if field.default is dataclasses.MISSING else field.default
    if isinstance(kind, UnionValue):
        number = SlotLayout(f"{field.name}_type", f"{label}_type", UnionType(), 1, 0)
        return [number, SlotLayout(field.name, label, kind, OFFSET_BYTES, default)]
    width = struct.calcsize(f"<{kind.code}") if isinstance(kind, Scalar) else OFFSET_BYTES
    return [SlotLayout(field.name, label, kind, width, default)]


def _kind(label: str, hint: Any, depth: int) -> tuple[Kind, Any]:
    """Return what an annotation asks for and what its absence means."""
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return table_layout(hint, depth + 1), hint()
    if get_origin(hint) in (Union, types.UnionType) and set(get_args(hint)) == set(BODIES) and depth == 1:
        return UnionValue(tuple(table_layout(body, depth + 1) for body in BODIES)), None
    if get_origin(hint) is Annotated:
        plain, *marks = get_args(hint)
        if plain in ABSENT and isinstance(marks[0], Scalar | Octets | Utf8):
            return marks[0], ABSENT[plain]
        if isinstance(marks[0], Many):
            return Vector(table_layout(get_args(plain)[0], depth + 1), marks[0].most), ()
    raise TypeError(f"{label}: no field kind describes {hint!r}; use the aliases of edgewise_wire.fields")


ENVELOPE = table_layout(Envelope)
