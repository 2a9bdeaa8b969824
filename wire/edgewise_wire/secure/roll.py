"""Sets of devices as bits on the wire: bit i % 8 of byte i // 8 stands for entry i of the roster."""

from __future__ import annotations

from collections.abc import Iterable

from edgewise_wire.errors import ProtocolError


def to_roll(indices: Iterable[int], size: int) -> bytes:
    """Return a set of a roster's entries as ⌈size/8⌉ bytes.

    Example:
        >>> to_roll({0, 9}, 10).hex()
        '0102'
    """
    roll = bytearray(-(-size // 8))
    for index in indices:
        roll[index // 8] |= 1 << index % 8
    return bytes(roll)


def from_roll(roll: bytes, size: int) -> frozenset[int]:
    """Return the set.

    Raises:
        ProtocolError: if it is not ⌈size/8⌉ bytes, or names somebody beyond the roster.
    """
    if len(roll) != -(-size // 8) or (size % 8 and roll[-1] >> size % 8):
        raise ProtocolError(f"a list of devices in {len(roll)} bytes: expected bits for a roster of {size}")
    return frozenset(i for i in range(size) if roll[i // 8] >> i % 8 & 1)
