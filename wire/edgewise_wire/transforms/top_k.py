"""The largest values only; the rest waits on the device for a later round (error feedback).

Stich et al. 2018, "Sparsified SGD with Memory", Algorithm 1; Karimireddy et al. 2019, "Error Feedback Fixes SignSGD",
Algorithm 2: send the largest of update + residual, keep what was not sent. What rounding to float16 loses is kept, too.

Which values they are is an Elias–Fano sequence (Elias 1974): the low bits of each index as they are, the high parts in
unary, in 2 + log2(n/k) bits an index at the most and in a length that n and k alone fix.
"""

from __future__ import annotations

import math
import struct

import numpy as np
from numpy.typing import NDArray

from edgewise_wire.encodings import index_bytes, largest, low_bits, plane_bytes, top_k_count, unary_bits
from edgewise_wire.errors import InputError, ProtocolError
from edgewise_wire.transforms import bits as planes
from edgewise_wire.transforms import header
from edgewise_wire.transforms.base import Bytes, Codec, Encoded, Key, Residual, check_values
from edgewise_wire.transforms.float16 import HALF, halves_to_floats, power_scale, read_scale
from edgewise_wire.weights import Flat

Indices = NDArray[np.uint32]
"""Places of the values that are sent, ascending."""


def top_k(fraction: float) -> Codec:
    """Return the codec that sends the `fraction` of values that are largest, as float16, with what is owed added first.

    Law: what is decoded plus the new residual is the update plus the old residual, to a float32's rounding.

    Args:
        fraction: of the numbers, above 0 and at most 0.5; at least one number is sent.

    Raises:
        ConfigError: if it is out of its range.

    Example:
        >>> codec, key = top_k(0.25), Key(0, 1, "pi-7")
        >>> sent = codec.encode(np.array([1, -8, 2, 3], "f4"), key, None)
        >>> codec.decode(sent.data, 4, key), sent.residual
        (array([ 0., -8.,  0.,  0.], dtype=float32), array([1., 0., 2., 3.], dtype=float32))
    """
    size = largest(fraction).size

    def encode(update: Flat, key: Key, residual: Residual) -> Encoded:
        total = _with_residual(update, residual)
        check_values(total)
        chosen = _largest(total, top_k_count(len(total), fraction))
        values = total[chosen]
        scale = power_scale(float(np.abs(values).max()))
        halves = (values * np.float32(1 / scale)).astype(HALF)
        total[chosen] -= halves.astype(np.float32) * np.float32(scale)
        head = header.write(header.TOP_K, 0, len(total), key) + struct.pack("<f", scale)
        return Encoded(head + _write_indices(chosen, len(total)) + halves.tobytes(), total)

    def decode(data: Bytes, parameters: int, key: Key) -> Flat:
        body = header.check(data, size(parameters), header.TOP_K, 0, parameters, key)
        k, at = top_k_count(parameters, fraction), 4 + index_bytes(parameters, top_k_count(parameters, fraction))
        values = halves_to_floats(body[at:], read_scale(body[:4]))
        indices = _read_indices(body[4:at], parameters, k)
        out = np.zeros(parameters, np.float32)
        out[indices] = values
        return out

    return Codec(f"topk-{fraction:g}", encode, decode, size, stateful=True, growth=math.inf)


def _with_residual(update: Flat, residual: Residual) -> Flat:
    if residual is None:
        return update.astype(np.float32)
    if residual.shape != update.shape:
        raise InputError(f"residual: expected float32[{len(update)}], got float32[{len(residual)}]; delete it")
    return update + residual


def _largest(values: Flat, k: int) -> Indices:
    chosen = np.argpartition(np.abs(values), len(values) - k)[len(values) - k :]
    return np.sort(chosen).astype(np.uint32)


def _write_indices(indices: Indices, parameters: int) -> bytes:
    low = low_bits(parameters, len(indices))
    unary = np.zeros(unary_bits(parameters, len(indices)), bool)
    unary[(indices >> np.uint32(low)) + np.arange(len(indices), dtype=np.uint32)] = True
    return planes.pack(indices, low) + np.packbits(unary, bitorder="little").tobytes()


def _read_indices(data: memoryview, parameters: int, k: int) -> Indices:
    low = low_bits(parameters, k)
    at = low * plane_bytes(k)
    unary = np.unpackbits(np.frombuffer(data[at:], np.uint8), bitorder="little")
    ones = np.flatnonzero(unary)
    if len(ones) != k:
        raise ProtocolError(f"encoded update: expected {k} indices, got {len(ones)}")
    high = ones - np.arange(k)
    indices = (high << low) + planes.unpack(data[:at], k, low, np.uint32)
    if not (int(indices[-1]) < parameters and bool((np.diff(indices) > 0).all())):
        raise ProtocolError(f"encoded update: expected ascending indices below {parameters}")
    return indices.astype(np.uint32)
