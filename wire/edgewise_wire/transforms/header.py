"""The twelve bytes before every encoding but plain float32: what it is, of how many numbers, made with which key."""

from __future__ import annotations

import struct

from edgewise_wire.encodings import HEADER_BYTES
from edgewise_wire.errors import ProtocolError
from edgewise_wire.transforms.base import Bytes, Key

VERSION = 1
_FIELDS = struct.Struct("<BBHII")  # version, codec, argument, parameters, tag of the key

FLOAT16, ROTATED, EDEN, LLOYD, TOP_K = range(1, 6)
"""The codecs' numbers in the header; append only."""


def write(codec: int, argument: int, parameters: int, key: Key) -> bytes:
    """Return the header."""
    return _FIELDS.pack(VERSION, codec, argument, parameters, key.tag())


def check(data: Bytes, expected_bytes: int, codec: int, argument: int, parameters: int, key: Key) -> memoryview:
    """Return what follows the header, if `data` is as long as it must be and its header is the one expected.

    Raises:
        ProtocolError: naming what differs.
    """
    if len(data) != expected_bytes:
        raise ProtocolError(f"encoded update: expected {expected_bytes} bytes, got {len(data)}")
    view = memoryview(data).cast("B")
    expected = (VERSION, codec, argument, parameters, key.tag())
    names = ("version", "codec", "argument", "number of parameters", "key")
    for name, want, got in zip(names, expected, _FIELDS.unpack_from(view), strict=True):
        if want != got:
            raise ProtocolError(f"encoded update: {name}: expected {want}, got {got}")
    return view[HEADER_BYTES:]
