"""The shape that every codec has: a device half that makes bytes of an update, a coordinator half that undoes it."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np

from edgewise_wire.errors import InputError
from edgewise_wire.weights import Flat

Bytes: TypeAlias = "bytes | bytearray | memoryview"
Residual: TypeAlias = "Flat | None"
"""What a device did not say in earlier rounds, float32[parameters]; `None` where nothing is owed."""

LARGEST = 2.0**100  # no value beyond it: a sum of 2^16 of them, or a square root of one, is still a float32


@dataclass(frozen=True, slots=True)
class Key:
    """Where all randomness of one encoding comes from; both sides know it, so what it yields need not be sent.

    Law: two processes, two machines and two languages draw the same numbers from the same key.

    Example:
        >>> Key(1, 2, "pi-7").number("rotation") == Key(1, 2, "pi-8").number("rotation")
        False
    """

    seed: int
    round: int
    device: str

    def _digest(self, purpose: str) -> bytes:
        numbers = struct.pack("<QQ", self.seed & (2**64 - 1), self.round & (2**64 - 1))
        return hashlib.sha256(f"edgewise/{purpose}\n".encode() + numbers + self.device.encode()).digest()

    def number(self, purpose: str) -> int:
        """Return 64 bits for one purpose: the first eight bytes of a SHA-256, little-endian."""
        return int.from_bytes(self._digest(purpose)[:8], "little")

    def tag(self) -> int:
        """Return 32 bits that tell, in an encoding's header, whether it was made with this key."""
        return int.from_bytes(self._digest("tag")[:4], "little")

    def noise(self) -> np.random.Generator:
        """Return the generator of what the coordinator need not draw again (the dice of stochastic rounding)."""
        return np.random.default_rng(np.frombuffer(self._digest("noise"), "<u4").tolist())


class Encoded(NamedTuple):
    """An update's bytes, and what they leave unsaid, for a codec that keeps it (`Codec.stateful`)."""

    data: bytes
    residual: Residual = None


class Codec(NamedTuple):
    """`encode(update, key, residual) -> Encoded` on the device, `decode(data, parameters, key) -> update` elsewhere.

    Law: `decode` gives `parameters` finite numbers for any bytes whatever, or raises `ProtocolError`; it looks at the
    length before it allocates. What it gives is a function of its arguments alone, bit for bit, on every machine:
    nothing but single IEEE 754 operations in a fixed order.

    Attributes:
        name: what stands on the wire (`encoding`); `transforms.get(name)` finds it again.
        encode: float32[parameters] to bytes. Raises InputError if a value is not finite or beyond 2^100.
        decode: bytes to float32[parameters]. Raises ProtocolError.
        size: the exact number of bytes for so many parameters.
        unbiased: whether the mean of what is decoded, over keys, is the update.
        linear: whether the encoding of a sum is the sum of the encodings, number by number, as masks need it that
            cancel in a sum.
        stateful: whether what is not said now is said in a later round (error feedback).
        growth: the L2 norm of what is decoded is at most so many times the update's, for an honest device.
    """

    name: str
    encode: Callable[[Flat, Key, Residual], Encoded]
    decode: Callable[[Bytes, int, Key], Flat]
    size: Callable[[int], int]
    unbiased: bool = False
    linear: bool = False
    stateful: bool = False
    growth: float = 1.0


def check_values(update: Flat) -> float:
    """Return the largest absolute value.

    Raises:
        InputError: if the update is empty, or a value is not finite or beyond 2^100.
    """
    if not len(update):
        raise InputError("update of no numbers: expected at least one")
    # max and min, not abs: no temporary. A NaN makes either of them NaN, and the comparison false.
    largest = max(float(update.max()), -float(update.min()))
    if not largest <= LARGEST:
        raise InputError(f"update: expected finite values of at most 2^100, got {largest}")
    return largest
