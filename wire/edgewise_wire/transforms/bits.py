"""Codes of a few bits each, packed as bit planes: plane j holds bit j of every code, eight codes to a byte.

Planes need no shifts across byte borders whatever the width, so that packing is one vector operation a plane.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewise_wire.encodings import plane_bytes

Codes = NDArray[Any]
"""Codes as unsigned integers, one dimension."""


def pack(codes: Codes, bits: int) -> bytes:
    """Return the lowest `bits` bits of each code, plane after plane, the lowest first.

    Example:
        >>> unpack(pack(np.array([5, 2, 7], np.uint8), 3), 3, 3)
        array([5, 2, 7], dtype=uint8)
    """
    one = codes.dtype.type(1)
    planes = [np.packbits((codes & (one << codes.dtype.type(j))).astype(bool), bitorder="little") for j in range(bits)]
    return b"".join(plane.tobytes() for plane in planes)


def unpack(data: bytes | memoryview, count: int, bits: int, dtype: Any = np.uint8) -> Codes:
    """Return `count` codes out of `bits` planes; `data` is exactly that long."""
    planes = np.frombuffer(data, np.uint8).reshape(bits, plane_bytes(count))
    codes = np.zeros(count, dtype)
    for j in range(bits):
        plane = np.unpackbits(planes[j], count=count, bitorder="little").astype(dtype, copy=False)
        plane <<= np.asarray(j, dtype)
        codes |= plane
    return codes
