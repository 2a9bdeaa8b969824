"""The randomised Hadamard transform, block by block: after it, any vector's values look drawn from a Gaussian.

Random signs, then a Walsh–Hadamard transform (Ailon & Chazelle 2009; Suresh et al. 2017, §3). A vector of any length is
cut into chunks of 2^18 numbers, 1 MiB, which stay in a core's L2 cache; a chunk is seen as a matrix of 4096 rows, and
each of its columns is one block. So every butterfly runs over neighbouring numbers, a block mixes numbers from all over
its chunk, and only the last chunk is padded, by fewer than 4096 zeros (a vector shorter than 4096 is one block of the
next power of two). The transform here is not normalised: applied twice it multiplies by the block's length, a power of
two, so that undoing it rounds no more than the sums do. Additions in a fixed order only: the same on every machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgewise_wire.encodings import BLOCK, block_length
from edgewise_wire.transforms.base import Key
from edgewise_wire.weights import Flat

COLUMNS = 64  # neighbours in a butterfly; shorter runs leave NumPy's loops idle, longer ones leave the L2 cache
CHUNK = BLOCK * COLUMNS

Matrix = NDArray[np.float32]
"""float32[block, columns]: each column is one block."""


class Chunk(NamedTuple):
    """Numbers `start` to `stop` of the vector as a matrix `block` × `columns`; its first column is number `column`."""

    start: int
    stop: int
    block: int
    columns: int
    column: int

    @property
    def padded(self) -> int:
        """How many numbers the matrix has."""
        return self.block * self.columns


def chunks(parameters: int) -> Iterator[Chunk]:
    """Yield a vector's chunks."""
    block = block_length(parameters)
    for number, start in enumerate(range(0, parameters, CHUNK)):
        stop = min(start + CHUNK, parameters)
        yield Chunk(start, stop, block, -(-(stop - start) // block), number * COLUMNS)


class Rotation:
    """One key's rotation of vectors of one length; holds two chunks' worth of memory and nothing of the vector.

    Args:
        parameters: the vectors' length.
        key: what the signs come from.
        rounds: how often signs are turned and the transform is applied. After one, every value has mean 0 and the same
            variance; but two values of one block depend on each other where a few numbers dominate the vector, which
            after two they hardly do.

    Law: `inverse` after `forward` is the vector again, but for the rounding of sums.

    Example:
        >>> rotation, x, out = Rotation(3, Key(0, 0, "")), np.array([1, 2, 3], "f4"), np.empty(3, "f4")
        >>> for chunk, rotated in rotation.forward(x):
        ...     rotation.inverse(chunk, rotated, out)
        >>> out
        array([1., 2., 3.], dtype=float32)
    """

    def __init__(self, parameters: int, key: Key, rounds: int = 1) -> None:
        self._parameters = parameters
        self._seeds = [key.number("rotation"), key.number("rotation 2")][:rounds]
        largest = max((chunk.padded for chunk in chunks(parameters)), default=0)
        self._spare = [np.empty(largest, np.float32), np.empty(largest, np.float32)]

    def forward(self, vector: Flat) -> Iterator[tuple[Chunk, Matrix]]:
        """Yield each chunk rotated, √block times longer a round; the matrix is good until the next one."""
        for chunk in chunks(self._parameters):
            flat = self._spare[0][: chunk.padded]
            count = chunk.stop - chunk.start
            flat[:count] = vector[chunk.start : chunk.stop]
            flat[count:] = 0.0
            for seed in self._seeds:
                _flip(seed, chunk, flat)
                flat = self._transform(chunk, flat)
            yield chunk, flat.reshape(chunk.block, chunk.columns)

    def inverse(self, chunk: Chunk, rotated: Matrix, out: Flat) -> None:
        """Undo the rotation of one chunk and write its numbers to their place in `out`; `rotated` is overwritten."""
        flat = rotated.reshape(-1)
        flat *= np.float32(1.0 / chunk.block ** len(self._seeds))
        for seed in reversed(self._seeds):
            flat = self._transform(chunk, flat)
            _flip(seed, chunk, flat)
        out[chunk.start : chunk.stop] = flat[: chunk.stop - chunk.start]

    def _transform(self, chunk: Chunk, flat: Flat) -> Flat:
        spare = self._spare[1 if np.shares_memory(flat, self._spare[0]) else 0]
        return hadamard(flat, spare[: chunk.padded], chunk.block).reshape(-1)


def _flip(seed: int, chunk: Chunk, flat: Flat) -> None:
    """Turn the signs that the seed says: bit j of number i is the sign of the chunk's value 64·i + j."""
    words = split_mix(seed, chunk.start // 64, -(-len(flat) // 64)).astype("<u8", copy=False)
    signs = np.unpackbits(words.view(np.uint8), count=len(flat), bitorder="little").astype(np.uint32)
    signs <<= np.uint32(31)
    flat.view(np.uint32)[...] ^= signs


def hadamard(values: Flat, spare: Flat, block: int) -> Matrix:
    """Return the Walsh–Hadamard transform of each column of `values` as a matrix of `block` rows.

    Both arrays are float32[block · columns] and overwritten; the result lies in one of them.
    """
    source, target, half = values, spare, len(values) // block
    while half < len(values):
        x, y = source.reshape(-1, 2, half), target.reshape(-1, 2, half)
        np.add(x[:, 0], x[:, 1], out=y[:, 0])
        np.subtract(x[:, 0], x[:, 1], out=y[:, 1])
        source, target, half = target, source, 2 * half
    return source.reshape(block, -1)


def split_mix(seed: int, first: int, count: int) -> NDArray[np.uint64]:
    """Return numbers `first` and on of SplitMix64 (Steele et al. 2014, fig. 16): easily the same in any language."""
    state = np.arange(first + 1, first + count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(seed)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))
