"""Half precision: two bytes a number, after a power of two has moved the largest of them to the top of the range.

Without it an update of 1e-5 would fall among float16's subnormal numbers, whose steps are 6e-8.
"""

from __future__ import annotations

import math
import struct

import numpy as np

from edgewise_wire.encodings import Encoding
from edgewise_wire.errors import ProtocolError
from edgewise_wire.transforms import header
from edgewise_wire.transforms.base import LARGEST, Bytes, Codec, Encoded, Key, Residual, check_values
from edgewise_wire.weights import Flat

TOP = 15  # the largest value is scaled into [2^14, 2^15): rounding up cannot reach float16's infinity at 2^16
HALF = np.dtype("<f2")


def float16() -> Codec:
    """Return the codec that rounds to the nearest float16: a relative error of at most 2^-11 down to 2^-29 of the top.

    Example:
        >>> codec, key = float16(), Key(0, 0, "")
        >>> data = codec.encode(np.array([1e-9, -3e-9], "f4"), key, None).data
        >>> len(data), codec.decode(data, 2, key)
        (20, array([ 1.0004442e-09, -2.9995135e-09], dtype=float32))
    """

    size = Encoding("float16").size

    def encode(update: Flat, key: Key, residual: Residual) -> Encoded:
        scale = power_scale(check_values(update))
        halves = (update * np.float32(1 / scale)).astype(HALF)
        head = header.write(header.FLOAT16, 0, len(update), key) + struct.pack("<f", scale)
        return Encoded(head + halves.tobytes())

    def decode(data: Bytes, parameters: int, key: Key) -> Flat:
        body = header.check(data, size(parameters), header.FLOAT16, 0, parameters, key)
        return halves_to_floats(body[4:], read_scale(body[:4]))

    return Codec("float16", encode, decode, size, growth=1 + 2.0**-10)


def power_scale(largest: float) -> float:
    """Return the power of two by which float16s are multiplied so that the largest is at the top of their range."""
    if not largest:
        return 1.0
    exponent = math.frexp(largest)[1] - TOP
    return float(2.0 ** max(-126, exponent))  # 1/scale must be a float32, too


def read_scale(data: memoryview) -> float:
    """Read a scale. Raises ProtocolError if it is not a positive number of at most 2^100."""
    scale = float(struct.unpack("<f", data)[0])
    if not 0 < scale <= LARGEST:
        raise ProtocolError(f"encoded update: scale: expected a positive number of at most 2^100, got {scale}")
    return scale


def halves_to_floats(data: memoryview, scale: float) -> Flat:
    """Return float16s as float32s, multiplied by `scale`. Raises ProtocolError if one is not finite."""
    halves = np.frombuffer(data, HALF)
    # The exponent's five bits are all ones for infinities and NaN; as integers that is one comparison.
    if len(halves) and int((halves.view("<u2") & 0x7FFF).max()) >= 0x7C00:
        raise ProtocolError("encoded update: expected finite float16 values, got NaN or infinity")
    values: Flat = halves.astype(np.float32)
    values *= np.float32(scale)
    return values
