"""Writing a message, one way only, so that equal messages are equal bytes in every language.

The order is the one that a straightforward client of the generated Java classes follows: what a table refers to is
written before it, in the order of its slots, depth first; then the table's fields as the generated `createX` adds them,
from the widest to the narrowest and, among equals, from the last slot to the first. What equals its default is not
written, empty vectors, strings and default tables included.
"""

from __future__ import annotations

import numbers
import operator
import struct
from collections.abc import Callable
from functools import cache
from typing import Any, NoReturn, TypeAlias

from edgewise_wire.codec.layout import (
    ENVELOPE,
    IDENTIFIER,
    OFFSET_BYTES,
    SlotLayout,
    TableLayout,
    UnionType,
    UnionValue,
    Vector,
)
from edgewise_wire.codec.lean_flatbuffers import flatbuffers, number_types
from edgewise_wire.errors import InputError
from edgewise_wire.fields import Octets, Scalar, Utf8
from edgewise_wire.messages import BODIES, PAYLOAD_BYTES, Envelope

Check: TypeAlias = Callable[[Any], Any]
"""Returns a value as it goes onto the wire, or raises `InputError`."""
Write: TypeAlias = Callable[[Any, Any], int]
"""Writes a value with a builder and returns its offset, 0 for one that is left out."""

FLAGS = {
    "?": number_types.BoolFlags,
    "B": number_types.Uint8Flags,
    "H": number_types.Uint16Flags,
    "I": number_types.Uint32Flags,
    "Q": number_types.Uint64Flags,
    "f": number_types.Float32Flags,
    "d": number_types.Float64Flags,
}
SMALL_BYTES = 512  # what a builder starts with for a message without a long byte field
NUMBERS = {body: number for number, body in enumerate(BODIES, start=1)}


def encode(envelope: Envelope) -> bytes:
    """Return `envelope` as bytes, at most `PAYLOAD_BYTES` of them.

    Raises:
        InputError: if a value has the wrong type or is outside its field's bounds, or the whole is too long: no peer
            would accept it.

    Example:
        >>> from edgewise_wire.messages import Accept
        >>> encode(Envelope("home", 3, 1, Accept(attempt=1)))[4:8]
        b'EWM1'
    """
    if type(envelope) is not Envelope or type(envelope.body) not in NUMBERS:
        _refuse(f"message {type(envelope).__name__}: expected an Envelope around one of the bodies of protocol 1")
    # A chunk's data is the one field that can be long; room for it at once spares the builder doubling its buffer.
    data = getattr(envelope.body, "data", None)
    builder = flatbuffers.Builder(SMALL_BYTES + (len(data) if isinstance(data, bytes) else 0))
    builder.Finish(WRITE_ENVELOPE(builder, envelope), file_identifier=IDENTIFIER)
    payload = bytes(memoryview(builder.Bytes)[builder.Head() :])
    if len(payload) > PAYLOAD_BYTES:
        _refuse(f"{type(envelope.body).__name__} of {len(payload)} bytes: expected at most {PAYLOAD_BYTES}")
    return payload


def _refuse(message: str) -> NoReturn:
    raise InputError(message)


@cache
def _table_writer(layout: TableLayout) -> Write:
    """Return the writer of a table as its dataclass holds it."""
    count = len(layout.slots)
    takes = [_take(slot) for slot in layout.slots]
    order = sorted(range(count), key=lambda index: (-layout.slots[index].width, -index))
    places = [(index, _place(layout.slots[index])) for index in order]

    def write(builder: Any, message: Any) -> int:
        values = [take(builder, message) for take in takes]
        builder.StartObject(count)
        for index, place in places:
            place(builder, index, values[index])
        offset: int = builder.EndObject()
        return offset

    return write


def _take(slot: SlotLayout) -> Callable[[Any, Any], Any]:
    """Return the function that gets a slot's checked value, or writes what it refers to and gets its offset."""
    if isinstance(slot.kind, UnionType):
        return lambda builder, message: NUMBERS[type(message.body)]
    get = operator.attrgetter(slot.name)
    if isinstance(slot.kind, Scalar):
        check = _scalar_check(slot.label, slot.kind.code)
        return lambda builder, message: check(get(message))
    write = _child_writer(slot)
    return lambda builder, message: write(builder, get(message))


def _place(slot: SlotLayout) -> Callable[[Any, int, Any], None]:
    """Return the function that puts a slot's value or offset into the open table."""
    if isinstance(slot.kind, Scalar | UnionType):
        flags = FLAGS[slot.kind.code if isinstance(slot.kind, Scalar) else "B"]
        default = slot.default

        def place(builder: Any, index: int, value: Any) -> None:
            if value != default:
                builder.Prepend(flags, value)
                builder.Slot(index)

        return place
    return lambda builder, index, offset: builder.PrependUOffsetTRelativeSlot(index, offset, 0)


def _scalar_check(label: str, code: str) -> Check:
    if code == "?":
        return lambda value: value if isinstance(value, bool) else _refuse(f"{label} {value!r}: expected a bool")
    return _float_check(label, code) if code in "fd" else _integer_check(label, 8 * struct.calcsize(f"<{code}"))


def _integer_check(label: str, bits: int) -> Check:
    most = (1 << bits) - 1

    def check(value: Any) -> int:
        number = int(value) if isinstance(value, numbers.Integral) else -1
        if not 0 <= number <= most:
            _refuse(f"{label} {value!r}: expected an integer from 0 to {most}")
        return number

    return check


def _float_check(label: str, code: str) -> Check:
    form = struct.Struct(f"<{code}")

    def check(value: Any) -> float:
        if not isinstance(value, numbers.Real):
            _refuse(f"{label} {value!r}: expected a number")
        try:
            # What float32 rounds to the default is left out by Java, so round before comparing.
            return float(form.unpack(form.pack(value))[0])
        except (OverflowError, struct.error):
            _refuse(f"{label} {value!r}: expected a number that float{8 * form.size} can hold")

    return check


def _child_writer(slot: SlotLayout) -> Write:
    kind, default = slot.kind, slot.default
    if isinstance(kind, Octets):
        return _octets_writer(slot.label, kind)
    if isinstance(kind, Utf8):
        return _utf8_writer(slot.label, kind)
    if isinstance(kind, Vector):
        return _vector_writer(slot.label, kind)
    if isinstance(kind, UnionValue):
        members = {member.message: _table_writer(member) for member in kind.members}
        return lambda builder, value: members[type(value)](builder, value)
    if isinstance(kind, TableLayout):
        write = _item_writer(slot.label, kind)
        return lambda builder, value: 0 if value == default else write(builder, value)
    raise TypeError(f"{slot.label}: {kind!r} is written inline")


def _item_writer(label: str, layout: TableLayout) -> Write:
    write, expected = _table_writer(layout), layout.message

    def write_item(builder: Any, value: Any) -> int:
        if type(value) is not expected:
            _refuse(f"{label} {type(value).__name__}: expected a {expected.__name__}")
        return write(builder, value)

    return write_item


def _octets_writer(label: str, kind: Octets) -> Write:
    def write(builder: Any, value: Any) -> int:
        if not isinstance(value, bytes | bytearray | memoryview):
            _refuse(f"{label} {type(value).__name__}: expected bytes")
        data = value if isinstance(value, bytes) else bytes(value)
        if not data:
            return 0
        if not kind.least <= len(data) <= kind.most:
            _refuse(f"{label} of {len(data)} bytes: expected {kind.least} to {kind.most}, or none")
        offset: int = builder.CreateByteVector(data)
        return offset

    return write


def _utf8_writer(label: str, kind: Utf8) -> Write:
    def write(builder: Any, value: Any) -> int:
        if not isinstance(value, str):
            _refuse(f"{label} {type(value).__name__}: expected a string")
        if not value:
            return 0
        try:
            data = value.encode("utf-8")
        except UnicodeEncodeError as error:
            raise InputError(f"{label} {value[:80]!r}: character {error.start} has no UTF-8") from None
        if len(data) > kind.most:
            _refuse(f"{label} {value[:80]!r} of {len(data)} bytes of UTF-8: expected at most {kind.most}")
        offset: int = builder.CreateString(data)
        return offset

    return write


def _vector_writer(label: str, kind: Vector) -> Write:
    write_item = _item_writer(label, kind.item)

    def write(builder: Any, value: Any) -> int:
        if not isinstance(value, tuple | list):
            _refuse(f"{label} {type(value).__name__}: expected a tuple")
        if len(value) > kind.most:
            _refuse(f"{label} of {len(value)} elements: expected at most {kind.most}")
        if not value:
            return 0
        offsets = [write_item(builder, item) for item in value]
        builder.StartVector(OFFSET_BYTES, len(offsets), OFFSET_BYTES)
        for offset in reversed(offsets):
            builder.PrependUOffsetTRelative(offset)
        end: int = builder.EndVector()
        return end

    return write


WRITE_ENVELOPE = _table_writer(ENVELOPE)  # resolved once: looking a layout up in the cache hashes the whole tree
