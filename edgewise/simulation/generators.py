"""The devices' generators, many at a time: the very numbers of `device_generator`, at a tenth of its cost.

Making a NumPy generator takes a device's step on a small model a third of its time, most of it in objects that are
thrown away. So one generator stays, and its state is set to each device's in turn. The states are worked out as NumPy
does (`SeedSequence`, after O'Neill's seed_seq_fe; then PCG64's seeding), for all devices of a round at once: what of it
depends on the device's name alone is kept, what depends on (seed, round) alone is done once.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgewise_edge.local_training import name_words

Words: TypeAlias = NDArray[np.uint32]

POOL = 4  # words of a SeedSequence's pool
INIT_A, MULT_A, INIT_B, MULT_B = 0x43B0D7E5, 0x931E8875, 0x8B51F9DD, 0x58F38DED
MIX_L, MIX_R = 0xCA01F9DD, 0x4973F715
SHIFT = 16
PCG_MULTIPLIER = 0x2360ED051FC65DA44385DF649FCCF645
WORD, STATE = (1 << 32) - 1, (1 << 128) - 1


def _constants(first: int, multiplier: int, count: int) -> list[int]:
    found = [first]
    for _ in range(count):
        found.append(found[-1] * multiplier & WORD)
    return found


NAME_WORDS = 8  # of a SHA-256
NAMES_HELD = 1 << 14  # of which the words are kept: 4 MB
_OWN = POOL + POOL * (POOL - 1)  # how many of the constants are used up before a name's first word
_A = _constants(INIT_A, MULT_A, _OWN + NAME_WORDS * POOL)
_NAME_A = np.array([_A[_OWN:-1], _A[_OWN + 1 :]], np.uint32).reshape(2, NAME_WORDS, POOL)
_B = _constants(INIT_B, MULT_B, 2 * POOL)
_OUT_B = np.array([_B[:-1], _B[1:]], np.uint32)[:, :, None]
_LOW_FIRST = [2, 3, 0, 1, 6, 7, 4, 5]  # of a SeedSequence's words PCG64 takes the high 64 bits of each seed first
_MIX_L, _MIX_R, _SHIFT = np.uint32(MIX_L), np.uint32(MIX_R), np.uint32(SHIFT)


class DeviceGenerators:
    """One generator for many devices.

    Args:
        seed: of the run.
        names: of all devices.

    Example:
        >>> generators = DeviceGenerators(1, ["pi-7", "pi-8"])
        >>> int(generators.set(generators.states([1], 2)[0]).integers(1000))
        427
    """

    def __init__(self, seed: int, names: Sequence[str]) -> None:
        self._seed = seed
        self._names = names
        self._hashed: dict[int, Words] = {}
        self._bits = np.random.PCG64(0)
        self._generator = np.random.Generator(self._bits)

    def states(self, devices: Sequence[int], round_id: int) -> list[tuple[int, int]]:
        """Return the beginnings of these devices' generators in a round, to be `set`."""
        pool = np.array(_round_pool(self._seed, round_id), np.uint32)[:, None]
        hashed = np.stack([self._of_name(device) for device in devices], axis=-1)  # [8, 4, devices]
        for word in hashed:
            pool = pool * _MIX_L - word
            pool ^= pool >> _SHIFT
        words = (np.concatenate([pool, pool]) ^ _OUT_B[0]) * _OUT_B[1]
        words ^= words >> _SHIFT
        rows = words[_LOW_FIRST].T.astype("<u4", order="C").tobytes()
        return [_pcg64(rows[at : at + 32]) for at in range(0, len(rows), 32)]

    def set(self, state: tuple[int, int]) -> np.random.Generator:
        """Return the generator at a beginning; it is the same object each time."""
        self._bits.state = {
            "bit_generator": "PCG64", "state": {"state": state[0], "inc": state[1]}, "has_uint32": 0, "uinteger": 0,
        }  # fmt: skip
        return self._generator

    def _of_name(self, device: int) -> Words:
        """Return what a name's words add to the pool, uint32[8, 4]."""
        found = self._hashed.get(device)
        if found is None:
            if len(self._hashed) >= NAMES_HELD:
                self._hashed.clear()
            values = (name_words(self._names[device])[:, None] ^ _NAME_A[0]) * _NAME_A[1]
            found = self._hashed[device] = (values ^ values >> _SHIFT) * _MIX_R
        return found


def _round_pool(seed: int, round_id: int) -> list[int]:
    """Return the pool after the words of seed and round."""
    words = (seed & WORD, seed >> 32, round_id & WORD, round_id >> 32)
    constants = iter(pairwise(_A))

    def hashed(value: int) -> int:
        before, after = next(constants)
        value = (value ^ before) * after & WORD
        return value ^ value >> SHIFT

    pool = [hashed(word) for word in words]
    for source in range(POOL):
        for target in range(POOL):
            if source != target:
                mixed = (MIX_L * pool[target] - MIX_R * hashed(pool[source])) & WORD
                pool[target] = mixed ^ mixed >> SHIFT
    return pool


def _pcg64(seed: bytes) -> tuple[int, int]:
    """Return PCG64's (state, increment) for two seeds of 128 bits, little-endian."""
    increment = (int.from_bytes(seed[16:], "little") << 1 | 1) & STATE
    return ((increment + int.from_bytes(seed[:16], "little")) * PCG_MULTIPLIER + increment) & STATE, increment
