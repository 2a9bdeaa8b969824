"""Masks that cancel in a sum (Bonawitz et al. 2017, §4), with the device's half and the coordinator's.

    masked = words + PRG(own seed) + Σ PRG(pair, with later neighbours) − Σ PRG(pair, with earlier neighbours)

modulo 2^modulus_bits, which divides the 2^32 that the arithmetic is done in. The sum of the survivors' masked words
still has their own masks in it, and their masks with those who fell silent; both can be taken off once the secrets
that the neighbours hold have been opened.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping
from typing import NamedTuple

import numpy as np

from edgewise_wire.crypto.agreement import AgreementKey, MaskAdder, derive
from edgewise_wire.secure.roster import Roster
from edgewise_wire.secure.sharing import Secrets
from edgewise_wire.secure.words import Words


def truncate(words: Words, bits: int) -> Words:
    """Reduce words modulo 2^bits in place, and return them."""
    words &= np.uint32((1 << bits) - 1)
    return words


def mask(
    words: Words, secrets: Secrets, roster: Roster, me: int, sharers: Iterable[int], bits: int
) -> Generator[None, None, Words]:
    """Mask a device's words, a mask between any two yields.

    Args:
        words: uint32[length], what the device adds to the sum; not written.
        secrets: its own.
        roster: of the round.
        me: its number in the roster.
        sharers: whoever has shared secrets; only with them a mask can be undone.
        bits: of the modulus.

    Returns:
        The masked words, by way of `StopIteration.value`.
    """
    total, adder, near = words.copy(), MaskAdder(), set(roster.graph.neighbours(me))
    adder.add(total, own_key(secrets.seed, roster))
    for other in sorted(near.intersection(sharers)):
        yield
        adder.add(total, pair_key(secrets.mask, roster, other), sign=1 if me < other else -1)
    return truncate(total, bits)


class Mask(NamedTuple):
    """A mask that is still in a sum: take it off with `sign`."""

    key: bytes
    sign: int


def left_over(
    roster: Roster,
    sharers: frozenset[int],
    survivors: frozenset[int],
    seeds: Mapping[int, bytes],
    keys: Mapping[int, AgreementKey],
) -> Iterator[Mask]:
    """Yield every mask that the sum of the survivors' masked words has too much.

    Args:
        roster: of the round.
        sharers: who shared secrets.
        survivors: whose masked words are in the sum; all of them are sharers.
        seeds: of each survivor.
        keys: the mask keys of the sharers that did not survive.
    """
    for device in sorted(survivors):
        yield Mask(own_key(seeds[device], roster), -1)
    for silent in sorted(sharers - survivors):
        for device in roster.graph.neighbours(silent):
            if device in survivors:
                # The survivor added it if it stands before the silent one, and subtracted it if it stands behind.
                yield Mask(pair_key(keys[silent], roster, device), -1 if device < silent else 1)


def own_key(seed: bytes, roster: Roster) -> bytes:
    """Return the key of a device's own mask."""
    return derive(seed, b"edgewise own mask 1", roster.hash)


def pair_key(private: AgreementKey, roster: Roster, other: int) -> bytes:
    """Return the key of the mask that the holder of `private` shares with a device.

    Raises:
        ProtocolError: if that device's key is none.
    """
    return derive(private.agree(roster.entries[other].mask), b"edgewise pair mask 1", roster.hash)
