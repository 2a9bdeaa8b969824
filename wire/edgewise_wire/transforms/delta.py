"""The way down: a version as its difference from one that a device has, or as half precision of the whole.

Law: all devices of a version start from the same bits. So a version that is sent shortened is published as what its
receivers make of it, not as what it was made from: `published = follow(base, encode(new − base))` on both sides, and
the full blob has these numbers, too. What an encoding loses stays in `new − published`, and is part of the next
difference: error feedback (Karimireddy et al. 2019) with nothing to remember but what was published.
"""

from __future__ import annotations

from typing import NamedTuple

from edgewise_wire.errors import ConfigError
from edgewise_wire.transforms.base import Bytes, Key
from edgewise_wire.transforms.registry import get
from edgewise_wire.weights import Flat

WHOLE = "float16"  # halves a version, and needs no base; of all others the difference is encoded
DIVERGES = ("rotated-1", "rotated-2")  # they lose as much as they are given, or more: fed back, it grows


class Published(NamedTuple):
    """A version as it is sent: the encoding's bytes, and the numbers that every receiver has then."""

    data: bytes
    weights: Flat


def check_downlink(name: str) -> str:
    """Return `name` if versions can be sent in this encoding; the empty one stands for plain float32.

    Raises:
        ConfigError: saying why they cannot.

    Example:
        >>> check_downlink("lloyd-4")
        'lloyd-4'
    """
    if not name:
        return name
    codec = get(name)
    if codec.name == "float32":
        raise ConfigError("downlink encoding 'float32': leave it out, plain float32 is what is sent without one")
    if name.startswith("clip"):
        raise ConfigError(f"downlink encoding {name!r}: clipping is for updates; choose one such as lloyd-4")
    if name in DIVERGES:
        raise ConfigError(
            f"downlink encoding {name!r}: its error is as large as what it encodes and would grow from version to "
            f"version; choose one such as lloyd-2"
        )
    return name


def shorten(name: str, new: Flat, base: Flat, base_hash: bytes) -> Published:
    """Encode the way to `new`: from zero for half precision, else from `base`, whose SHA-256 is `base_hash`.

    Args:
        name: the encoding.
        new: float32[parameters], what the version should be.
        base: float32[parameters], what was published before it.
        base_hash: of the base's bytes; see `base_of`.

    Raises:
        InputError: if a number is not finite.

    Example:
        >>> import numpy as np
        >>> new, base = np.array([1.0, 2.0], "f4"), np.array([0.5, 2.5], "f4")
        >>> sent = shorten("lloyd-4", new, base, b"h" * 32)
        >>> bool((follow("lloyd-4", sent.data, base, b"h" * 32, 2) == sent.weights).all())
        True
    """
    difference = new if name == WHOLE else new - base
    data = get(name).encode(difference, _key(base_hash), None).data
    return Published(data, follow(name, data, None if name == WHOLE else base, base_hash, len(new)))


def follow(name: str, data: Bytes, base: Flat | None, base_hash: bytes, parameters: int) -> Flat:
    """Return the version that `data` leads to from `base`, or from zero.

    Raises:
        ProtocolError: if the bytes are not a difference in this encoding.
    """
    difference = get(name).decode(data, parameters, _key(base_hash))
    return difference if base is None else base + difference


def base_of(name: str, published_hash: bytes) -> bytes:
    """Return the hash that a difference in this encoding starts from: none for half precision of the whole."""
    return b"" if name == WHOLE else published_hash


def _key(base_hash: bytes) -> Key:
    return Key(0, 0, base_hash.hex())
