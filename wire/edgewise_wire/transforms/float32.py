"""The numbers as they are, four bytes each, little-endian; no header, as the protocol had it from its first day."""

from __future__ import annotations

import numpy as np

from edgewise_wire.encodings import Encoding
from edgewise_wire.errors import ProtocolError
from edgewise_wire.transforms.base import LARGEST, Bytes, Codec, Encoded, Key, Residual, check_values
from edgewise_wire.weights import WIRE_DTYPE, Flat, to_bytes


def float32() -> Codec:
    """Return the identity.

    Example:
        >>> codec, key = float32(), Key(0, 0, "")
        >>> codec.decode(codec.encode(np.array([1, 2], "f4"), key, None).data, 2, key)
        array([1., 2.], dtype=float32)
    """

    def encode(update: Flat, key: Key, residual: Residual) -> Encoded:
        check_values(update)
        return Encoded(to_bytes(update))

    def decode(data: Bytes, parameters: int, key: Key) -> Flat:
        if len(data) != 4 * parameters:
            raise ProtocolError(f"update: expected {4 * parameters} bytes (float32[{parameters}]), got {len(data)}")
        update: Flat = np.frombuffer(data, WIRE_DTYPE).astype(np.float32)
        check_finite(update)
        return update

    return Codec("float32", encode, decode, Encoding("float32").size, unbiased=True, linear=True)


def check_finite(values: Flat) -> None:
    """Check what a peer sent. Raises ProtocolError if a value is not finite or beyond 2^100."""
    if len(values):
        largest = max(float(values.max()), -float(values.min()))
        if not largest <= LARGEST:
            raise ProtocolError(f"update: expected finite values of at most 2^100, got {largest}")
