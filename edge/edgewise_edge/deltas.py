"""A round's weights by way of differences from weights that are here already: the device's half."""

from __future__ import annotations

import hashlib
import logging

from edgewise_edge.abilities import NUMBER_BYTES
from edgewise_wire.blobs import BlobStore, check_ref
from edgewise_wire.encodings import parse
from edgewise_wire.errors import ConfigError, DataError, InputError, ProtocolError
from edgewise_wire.messages import Assignment, BlobRef, Delta

log = logging.getLogger(__name__)


def short_way(asked: Assignment, store: BlobStore) -> tuple[Delta, ...]:
    """Return the differences to fetch in the place of the round's weights: none where that would not be shorter.

    What is malformed or in an encoding that this version does not know is passed over: the whole weights are always
    there to be fetched.
    """
    if store.has(asked.weights.hash):
        return ()
    for at in range(len(asked.deltas) - 1, -1, -1):
        if not _usable(asked.deltas[at], asked):
            return ()
        base = asked.deltas[at].base
        if not base or (len(base) == len(asked.weights.hash) and store.has(base)):
            way = asked.deltas[at:]
            return way if sum(delta.blob.size for delta in way) < asked.weights.size else ()
    return ()


def weights_to_fetch(asked: Assignment, store: BlobStore) -> list[BlobRef]:
    """Return the blobs by which the round's weights are had."""
    return [delta.blob for delta in short_way(asked, store)] or [asked.weights]


def assemble(asked: Assignment, store: BlobStore) -> bool:
    """Make the round's weights out of the differences that were fetched; return whether they are here now.

    Law: the file under the weights' hash has that hash. Differences that lead elsewhere lead nowhere.

    Raises:
        UnavailableError: if the disk refuses.
    """
    if store.has(asked.weights.hash):
        return True
    try:
        data = _followed(short_way(asked, store), asked, store)
    except (ProtocolError, InputError, DataError) as error:
        log.warning("the differences do not lead to the round's weights, which are fetched whole: %s", error)
        return False
    if hashlib.sha256(data).digest() != asked.weights.hash:
        log.warning("the differences lead to other weights than the round's, which are fetched whole")
        return False
    store.put(data)
    return True


def _followed(way: tuple[Delta, ...], asked: Assignment, store: BlobStore) -> bytes:
    from edgewise_wire.transforms.delta import follow  # NumPy: only where there are differences to follow
    from edgewise_wire.weights import from_bytes, to_bytes

    count = asked.weights.size // NUMBER_BYTES
    weights = from_bytes(store.read(way[0].base), count) if way and way[0].base else None
    for delta in way:
        weights = follow(delta.encoding, store.read(delta.blob.hash), weights, delta.base, count)
    return b"" if weights is None else to_bytes(weights)


def _usable(delta: Delta, asked: Assignment) -> bool:
    try:
        check_ref(delta.blob, asked.weights.size)
        return parse(delta.encoding).size(max(1, asked.weights.size // NUMBER_BYTES)) == delta.blob.size
    except (ProtocolError, ConfigError):
        return False
