"""Reading a message out of bytes that anyone may have sent.

Every offset, vtable, vector length and string is checked against the end of the message before it is followed, and
every count against its bound before anything is allocated. Offsets to children only point forward and the schema nests
at most `DEPTH_MAX` tables, so reading ends. What the checks are, in the order they are made (the Java reader makes the
same, pinned by `tests/golden/corrupt`):

1. at most `PAYLOAD_BYTES`, at least 8 bytes, the identifier at byte 4;
2. an offset is at least 4 and its target lies inside the message;
3. a vtable lies inside the message, has an even size of at least 4, and its table lies inside the message;
4. a field lies inside its table, behind the table's own vtable offset;
5. a vector lies inside the message and has at most (for hashes: exactly) as many elements as its field allows;
6. a string is UTF-8 and ends in a zero byte; a boolean is 0 or 1;
7. the union's number is known and both its halves are there.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import cache
from typing import Any, NoReturn, TypeAlias

from edgewise_wire.codec.layout import (
    ENVELOPE,
    IDENTIFIER,
    OFFSET_BYTES,
    Kind,
    SlotLayout,
    TableLayout,
    UnionType,
    UnionValue,
    Vector,
)
from edgewise_wire.errors import ProtocolError
from edgewise_wire.fields import Octets, Scalar, Utf8
from edgewise_wire.messages import PAYLOAD_BYTES, Envelope

Read: TypeAlias = Callable[[bytes, int], Any]
"""Reads the value whose inline part stands at a position that was checked to lie inside the message."""

LEAST_BYTES = 8  # root offset and identifier
_U32 = struct.Struct("<I").unpack_from
_I32 = struct.Struct("<i").unpack_from
_VTABLE = struct.Struct("<HH").unpack_from


def decode(payload: bytes) -> Envelope:
    """Return the message in `payload`.

    Slots that this version does not know are skipped, missing ones read as their defaults; numbers are passed on as
    they are (a NaN too), so whoever uses one checks it. A byte field is copied out of `payload` once.

    Raises:
        ProtocolError: if `payload` is anything but one valid message of at most `PAYLOAD_BYTES` bytes.

    Example:
        >>> from edgewise_wire.codec import encode
        >>> from edgewise_wire.messages import Accept
        >>> decode(encode(Envelope("home", 3, 1, Accept(attempt=1)))).body
        Accept(attempt=1)
    """
    if not LEAST_BYTES <= len(payload) <= PAYLOAD_BYTES:
        _refuse(f"message of {len(payload)} bytes: expected {LEAST_BYTES} to {PAYLOAD_BYTES}")
    buffer = bytes(payload)
    if buffer[4:8] != IDENTIFIER:
        _refuse(f"message identifier {buffer[4:8]!r}: expected {IDENTIFIER!r}")
    values = READ_ENVELOPE(buffer, _target("Envelope", buffer, 0))
    fleet, round_, message_id, number, at, protocol = values
    return Envelope(fleet, round_, message_id, _body(buffer, number, at), protocol)


def _body(buffer: bytes, number: int, at: int | None) -> Any:
    members = BODY_READERS
    if not 1 <= number <= len(members):
        _refuse(f"Envelope.body_type {number}: expected 1 to {len(members)}; the sender may be newer than this version")
    if at is None:
        _refuse(f"Envelope.body of type {number} is missing")
    return members[number - 1](buffer, at)


def _refuse(message: str) -> NoReturn:
    raise ProtocolError(message)


def _target(label: str, buffer: bytes, at: int) -> int:
    """Return where the offset at `at` points: further on, with at least four bytes behind it."""
    offset: int = _U32(buffer, at)[0]
    target = at + offset
    if offset < OFFSET_BYTES or target + OFFSET_BYTES > len(buffer):
        _refuse(f"{label}: offset {offset} at byte {at}: expected 4 to {len(buffer) - OFFSET_BYTES - at}")
    return target


def _span(label: str, buffer: bytes, at: int, most: int, width: int) -> tuple[int, int]:
    """Return where the elements of the vector begin that the offset at `at` points to, and how many there are."""
    start = _target(label, buffer, at)
    count: int = _U32(buffer, start)[0]
    start += OFFSET_BYTES
    if count > most:
        _refuse(f"{label}: {count} elements, expected at most {most}")
    if start + count * width > len(buffer):
        _refuse(f"{label}: {count} elements at byte {start} leave the message of {len(buffer)} bytes")
    return start, count


@cache
def _table_values(layout: TableLayout) -> Callable[[bytes, int], list[Any]]:
    """Return the reader of a table's slots, in order."""
    name = layout.message.__name__
    reads = [(slot.width, _reader(slot)) for slot in layout.slots]
    defaults = [slot.default for slot in layout.slots]
    vtable_slots = [struct.Struct(f"<{count}H").unpack_from for count in range(len(reads) + 1)]

    def read(buffer: bytes, at: int) -> list[Any]:
        start, known, inline = _check_table(name, buffer, at, len(reads))
        values = defaults.copy()
        for index, offset in enumerate(vtable_slots[known](buffer, start + 4)):
            if offset:
                width, read_value = reads[index]
                if offset < OFFSET_BYTES or offset + width > inline:
                    _refuse(f"{layout.slots[index].label}: {width} bytes at {offset} of a table of {inline} bytes")
                values[index] = read_value(buffer, at + offset)
        return values

    return read


def _check_table(name: str, buffer: bytes, at: int, slots: int) -> tuple[int, int, int]:
    """Return where the table's vtable begins, how many known slots it has, and the table's size in bytes."""
    start: int = at - _I32(buffer, at)[0]
    if not 0 <= start <= len(buffer) - 4:
        _refuse(f"{name}: vtable at byte {start} of a message of {len(buffer)} bytes")
    size, inline = _VTABLE(buffer, start)
    if size < 4 or size & 1 or start + size > len(buffer):
        _refuse(f"{name}: vtable of {size} bytes at byte {start} of a message of {len(buffer)} bytes")
    if inline < OFFSET_BYTES or at + inline > len(buffer):
        _refuse(f"{name}: table of {inline} bytes at byte {at} of a message of {len(buffer)} bytes")
    return start, min((size - 4) // 2, slots), inline


@cache
def _table_reader(layout: TableLayout) -> Read:
    """Return the reader of a table at a position as its dataclass."""
    message, read_values = layout.message, _table_values(layout)
    return lambda buffer, at: message(*read_values(buffer, at))


def _reader(slot: SlotLayout) -> Read:
    """Return the reader of one slot."""
    kind: Kind = slot.kind
    if isinstance(kind, Scalar):
        return _boolean_reader(slot.label) if kind.code == "?" else _scalar_reader(kind.code)
    if isinstance(kind, UnionType):
        return _scalar_reader("B")
    if isinstance(kind, Octets):
        return _octets_reader(slot.label, kind)
    if isinstance(kind, Utf8):
        return _utf8_reader(slot.label, kind)
    if isinstance(kind, Vector):
        return _vector_reader(slot.label, kind)
    if isinstance(kind, UnionValue):
        return lambda buffer, at: _target(slot.label, buffer, at)
    read = _table_reader(kind)
    return lambda buffer, at: read(buffer, _target(slot.label, buffer, at))


def _scalar_reader(code: str) -> Read:
    unpack = struct.Struct(f"<{code}").unpack_from
    return lambda buffer, at: unpack(buffer, at)[0]


def _boolean_reader(label: str) -> Read:
    def read(buffer: bytes, at: int) -> bool:
        if buffer[at] > 1:
            _refuse(f"{label}: byte {buffer[at]}: expected 0 or 1")
        return buffer[at] == 1

    return read


def _octets_reader(label: str, kind: Octets) -> Read:
    def read(buffer: bytes, at: int) -> bytes:
        start, count = _span(label, buffer, at, kind.most, 1)
        if count < kind.least:
            _refuse(f"{label}: {count} elements, expected at least {kind.least}")
        return buffer[start : start + count]

    return read


def _utf8_reader(label: str, kind: Utf8) -> Read:
    def read(buffer: bytes, at: int) -> str:
        start, count = _span(label, buffer, at, kind.most, 1)
        end = start + count
        if end == len(buffer) or buffer[end]:
            _refuse(f"{label}: string of {count} bytes at byte {start} does not end in a zero byte")
        try:
            return buffer[start:end].decode("utf-8")
        except UnicodeDecodeError as error:
            raise ProtocolError(f"{label}: byte {start + error.start} is not UTF-8") from None

    return read


def _vector_reader(label: str, kind: Vector) -> Read:
    read_item = _table_reader(kind.item)

    def read(buffer: bytes, at: int) -> tuple[Any, ...]:
        start, count = _span(label, buffer, at, kind.most, OFFSET_BYTES)
        places = range(start, start + count * OFFSET_BYTES, OFFSET_BYTES)
        return tuple(read_item(buffer, _target(label, buffer, place)) for place in places)

    return read


# Resolved once: looking a layout up in the cache hashes the whole tree, 0.3 ms.
READ_ENVELOPE = _table_values(ENVELOPE)
_members = next(slot.kind for slot in ENVELOPE.slots if isinstance(slot.kind, UnionValue)).members
BODY_READERS: tuple[Read, ...] = tuple(_table_reader(member) for member in _members)
