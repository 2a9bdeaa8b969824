"""DRIVE and EDEN: rotate, then send each value's nearest Lloyd–Max level, and one scale that undoes the shrinking.

1 bit is DRIVE (Vargaftik et al. 2021, "DRIVE: One-bit Distributed Mean Estimation"), more are EDEN (Vargaftik et al.
2022, "EDEN: Communication-Efficient and Robust Distributed Mean Estimation", §3). Only the rotation is random.
The scale ‖x‖²/⟨Rx, q⟩ makes the estimate's projection on x equal to x; its mean over rotations is x (EDEN, §3, for
uniformly random ones). With one Hadamard transform a bias stays where a few numbers dominate (measured on log-normal
values with σ = 2 at 1 bit: 6 % of ‖x‖²), so there are two; what they leave is below what 1000 keys show. The scale
⟨Rx, q⟩/‖q‖² has the least error instead, and shrinks what it sends: that is `lloyd`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from edgewise_wire.encodings import BLOCK, blocks, plane_bytes, quantiser
from edgewise_wire.errors import ProtocolError
from edgewise_wire.transforms import bits as planes
from edgewise_wire.transforms import header
from edgewise_wire.transforms.base import LARGEST, Bytes, Codec, Encoded, Key, Residual, check_values
from edgewise_wire.transforms.rotation import Matrix, Rotation, chunks
from edgewise_wire.weights import Flat

LEVELS: dict[int, tuple[float, ...]] = {
    1: (0.7978845608028654,),
    2: (0.4527800398860679, 1.5104176087114887),
    3: (0.24509416307340598, 0.7560052489539643, 1.3439092613750225, 2.151945669890335),
    4: (
        0.12839501671105813, 0.38804823445328507, 0.6567589957631145, 0.9423402689122875,
        1.2562309480263467, 1.6180460517130526, 2.069016730231837, 2.732588804065177,
    ),
}  # fmt: skip
"""The Lloyd–Max levels of a standard Gaussian above zero, by bits (Max 1960, table I); those below mirror them."""

ROUNDS = 2
GROWTH_LIMIT = 2.0  # a scale that would stretch a block further is cut; rotated blocks stretch by 1.26 (1 bit) or less

Scale = Callable[[Flat, Flat, Flat], Flat]
"""`scale(‖r‖², ⟨r, q⟩, ‖q‖²) -> S`, each float32[blocks]: the estimate of a rotated block r is S·q."""


def eden(bits: int) -> Codec:
    """Return the unbiased codec of 2^bits Lloyd–Max levels, one float32 a block of 4096 for the scale.

    On large vectors the normalised error is D/(1 − D), with the levels' distortion D = 0.363, 0.117, 0.0345, 0.0095 at
    1 to 4 bits: 0.571, 0.133, 0.0358, 0.0096.

    Args:
        bits: 1 to 4 for each number.

    Raises:
        ConfigError: if it is out of its range.

    Example:
        >>> codec, key = eden(1), Key(0, 1, "pi-7")
        >>> data = codec.encode(np.ones(4096, "f4"), key, None).data
        >>> len(data), codec.decode(data, 4096, key).shape
        (528, (4096,))
    """
    return _codec("eden", header.EDEN, bits, _unbiased, unbiased=True, growth=GROWTH_LIMIT)


def lloyd(bits: int) -> Codec:
    """Return the codec of the same levels with the scale of least error: biased, for where the error is fed back.

    On large vectors the normalised error is the distortion D itself, the floor for one level a number.

    Raises:
        ConfigError: if bits are not 1 to 4.
    """
    return _codec("lloyd", header.LLOYD, bits, _least_error)


def _unbiased(rr: Flat, rq: Flat, qq: Flat) -> Flat:
    scale = np.divide(rr, rq, out=np.zeros_like(rr), where=rq > 0)
    limit = np.sqrt(np.divide(rr, qq, out=np.zeros_like(rr), where=qq > 0)) * np.float32(GROWTH_LIMIT)
    return np.minimum(scale, limit)


def _least_error(rr: Flat, rq: Flat, qq: Flat) -> Flat:
    return np.divide(rq, qq, out=np.zeros_like(rq), where=qq > 0)


def _codec(name: str, number: int, bits: int, scale: Scale, *, unbiased: bool = False, growth: float = 1.0) -> Codec:
    size = quantiser(name, bits).size
    table = np.array([*LEVELS[bits], *(-level for level in LEVELS[bits])], np.float32)

    def encode(update: Flat, key: Key, residual: Residual) -> Encoded:
        # Divided by a power of two, so that no square leaves float32's range whatever the update's size.
        power = np.float32(2.0 ** max(-100, np.frexp(check_values(update))[1]))
        scales, packed = [], []
        for _, matrix in Rotation(len(update), key, ROUNDS).forward(update):
            matrix *= np.float32(1) / power
            codes, scaled = _quantise(matrix, table, scale)
            scales.append(scaled * power)
            packed.append(planes.pack(codes, bits))
        head = header.write(number, bits, len(update), key)
        return Encoded(head + np.concatenate(scales).astype("<f4").tobytes() + b"".join(packed))

    def decode(data: Bytes, parameters: int, key: Key) -> Flat:
        body = header.check(data, size(parameters), number, bits, parameters, key)
        at = 4 * blocks(parameters)
        scales = _read_scales(body[:at])
        rotation, out = Rotation(parameters, key, ROUNDS), np.empty(parameters, np.float32)
        for chunk in chunks(parameters):
            length = bits * plane_bytes(chunk.padded)
            codes = planes.unpack(body[at : at + length], chunk.padded, bits)
            at += length
            matrix = table.take(codes).reshape(chunk.block, chunk.columns)
            matrix *= scales[chunk.column : chunk.column + chunk.columns]
            rotation.inverse(chunk, matrix, out)
        return out

    return Codec(f"{name}-{bits}", encode, decode, size, unbiased=unbiased, growth=growth * 1.001)


def _quantise(matrix: Matrix, table: Flat, scale: Scale) -> tuple[NDArray[np.uint8], Flat]:
    """Return each value's code (its level's place in `table`) and each block's scale."""
    half = len(table) // 2
    rr = _dot(matrix, matrix)
    unit = np.sqrt(rr / np.float32(len(matrix)))  # the root mean square: levels are those of a standard Gaussian
    size = np.abs(matrix)
    codes = np.zeros(matrix.shape, np.uint8)
    for border in (table[1:half] + table[: half - 1]) / 2:
        codes += (size > border * unit).view(np.uint8)
    codes += np.signbit(matrix).view(np.uint8) * np.uint8(half)
    q = table.take(codes)
    return codes.reshape(-1), scale(rr, _dot(matrix, q), _dot(q, q))


def _dot(one: Matrix, other: Matrix) -> Flat:
    """Return each column's sum of products, in two steps: 4096 additions in a row would cost four digits."""
    run = min(64, len(one))
    product: Flat = (one * other).reshape(-1, run, one.shape[1]).sum(axis=1).sum(axis=0)
    return product


def _read_scales(data: memoryview) -> Flat:
    scales = np.frombuffer(data, "<f4").astype(np.float32)
    if not (float(scales.max()) <= 4 * LARGEST * BLOCK and float(scales.min()) >= 0):
        raise ProtocolError("encoded update: expected finite scales of at least 0 and at most 2^114")
    return scales
