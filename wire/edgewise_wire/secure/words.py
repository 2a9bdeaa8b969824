"""Integers of any width up to 32 bits, packed: whole bytes first, one plane a byte, then what is left as bit planes.

Planes need no shifts across byte borders, so that packing is a strided copy a byte and one vector operation a bit.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgewise_wire.errors import ProtocolError
from edgewise_wire.secure.form import packed_bytes
from edgewise_wire.transforms import bits as planes

Words = NDArray[np.uint32]
"""uint32[length], each below 2^width."""


def pack(words: Words, width: int) -> bytes:
    """Return the lowest `width` bits of each word.

    Example:
        >>> unpack(pack(np.array([5, 2**26 - 1], "u4"), 26), 2, 26).tolist() == [5, 2**26 - 1]
        True
    """
    octets = np.ascontiguousarray(words, "<u4").view(np.uint8).reshape(-1, 4)
    whole, rest = divmod(width, 8)
    parts = [octets[:, at].tobytes() for at in range(whole)]
    if rest:
        parts.append(planes.pack(octets[:, whole], rest))
    return b"".join(parts)


def unpack(data: bytes | memoryview, length: int, width: int) -> Words:
    """Return the words.

    Raises:
        ProtocolError: if `data` is not exactly as long as it must be.
    """
    if len(data) != packed_bytes(length, width):
        raise ProtocolError(f"masked update: expected {packed_bytes(length, width)} bytes, got {len(data)}")
    octets = np.zeros((length, 4), np.uint8)
    whole, rest = divmod(width, 8)
    view = memoryview(data)
    for at in range(whole):
        octets[:, at] = np.frombuffer(view[at * length : (at + 1) * length], np.uint8)
    if rest:
        octets[:, whole] = planes.unpack(view[whole * length :], length, rest)
    words: Words = octets.view("<u4").reshape(-1).astype(np.uint32, copy=False)
    return words
