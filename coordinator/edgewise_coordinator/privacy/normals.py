"""Normal numbers from a cryptographically secure source, made again from 32 bytes.

Each pair takes three 64-bit words of an AES-256 keystream and is made by Box and Muller's transform. Two words make the
radius, so that the tails reach 13 standard deviations (beyond lies less than 2^-120) and not the 8.6 where 53 bits end.
The numbers depend on the key alone, never on what they will be added to: `release.py` says why that matters.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgewise_wire.crypto.keystream import keystream

Normals = NDArray[np.float64]
"""Independent standard normal numbers, float64[count]."""

WORDS = 3  # of 64 bits for two normals
BLOCK = 1 << 14  # normals made at once: 192 KiB of keystream, stays in a core's L2 cache
WORD = 2.0**-64


def normals(key: bytes, stream: int, start: int, count: int) -> Normals:
    """Return normals `start` to `start + count` of a stream: a function of (key, stream, position) and nothing else.

    Args:
        key: 32 secret bytes.
        stream: streams under one key are independent.
        start: a multiple of `BLOCK`.
        count: how many.

    Example:
        >>> bool((normals(bytes(32), 0, 0, 3) == normals(bytes(32), 0, 0, 10)[:3]).all())
        True
    """
    out = np.empty(count)
    for at in range(0, count, BLOCK):
        part = out[at : at + BLOCK]
        part[:] = _block(key, stream, (start + at) // BLOCK, len(part))
    return out


def _block(key: bytes, stream: int, number: int, count: int) -> Normals:
    """Return a block: cosines in its first half, sines in its second, so that a shorter one has the same beginning."""
    pairs = BLOCK // 2
    data = keystream(key, stream, number * 8 * WORDS * pairs, 8 * WORDS * pairs)
    high, low, turn = np.frombuffer(data, "<u8").reshape(WORDS, pairs)
    uniform = (high + (low + 1.0) * WORD) * WORD  # in (0, 1], as fine as 2^-128 near 0, where the tails are made
    radius = np.sqrt(-2.0 * np.log(np.minimum(uniform, 1.0)))
    angle = turn * (2.0 * np.pi * WORD)
    return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])[:count]
