"""A device's two secrets, in shares that its neighbours hold for it (Bonawitz et al. 2017, Figure 4, rounds 1 and 4).

The key of its pairwise masks is opened if it falls silent, the seed of its own mask if it does not; who learned both
could read its update. The device's half seals shares and hands out what it holds; the coordinator's half, which cannot
open a sealed one, puts revealed ones together.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import combinations, islice

from edgewise_wire.crypto.agreement import (
    TAG_BYTES,
    AgreementKey,
    RoundSigner,
    derive,
    key_stream,
    seal,
    unseal,
)
from edgewise_wire.errors import ProtocolError
from edgewise_wire.secure.roster import Roster
from edgewise_wire.secure.shamir import SHARE_BYTES, coefficient_bytes, combine, split

SEALED_BYTES = 2 * SHARE_BYTES + TAG_BYTES
COMMITMENT_BYTES = 32
TRIES = 64  # other choices among the shares, where some device has revealed a wrong one


@dataclass(frozen=True)
class Secrets:
    """Everything that a device keeps secret in one round, out of 32 random bytes: made anew after a crash, the same.

    Law: one master serves one attempt of one round, and masks one input.
    """

    master: bytes

    @property
    def agreement(self) -> AgreementKey:
        """What seals and opens shares."""
        return AgreementKey(derive(self.master, b"edgewise agreement 1"))

    @property
    def mask(self) -> AgreementKey:
        """What pairwise masks are agreed with; shared, and opened if the device falls silent."""
        return AgreementKey(derive(self.master, b"edgewise mask 1"))

    @property
    def signer(self) -> RoundSigner:
        """What signs."""
        return RoundSigner(derive(self.master, b"edgewise signer 1"))

    @property
    def seed(self) -> bytes:
        """The seed of the device's own mask; shared, and opened if its masked update counts."""
        return derive(self.master, b"edgewise seed 1")

    def coefficients(self, roster: Roster, which: bytes) -> bytes:
        """Return the random bytes of one sharing; they differ from roster to roster."""
        key = derive(self.master, b"edgewise shares 1 " + which, roster.hash)
        return key_stream(key, coefficient_bytes(roster.plan.threshold))


def commitment(seed: bytes) -> bytes:
    """Return what a device says of its seed beforehand, so that a wrong share is noticed."""
    return hashlib.sha256(b"edgewise seed commitment 1\n" + seed).digest()


def shared(secrets: Secrets, roster: Roster, me: int) -> dict[int, tuple[bytes, bytes]]:
    """Return, for each holder by its number, the shares of the mask key and of the seed."""
    holders = roster.graph.holders(me)
    points, threshold = [holder + 1 for holder in holders], roster.plan.threshold
    keys = split(secrets.mask.private, points, threshold, secrets.coefficients(roster, b"key"))
    seeds = split(secrets.seed, points, threshold, secrets.coefficients(roster, b"seed"))
    return dict(zip(holders, zip(keys, seeds, strict=True), strict=True))


def seal_shares(secrets: Secrets, roster: Roster, me: int) -> bytes:
    """Return what a device sends: the commitment to its seed, then its shares, sealed, in its neighbours' order."""
    shares = shared(secrets, roster, me)
    sealed = [
        seal(_pair_key(secrets, roster, me, other, me), shares[other][0] + shares[other][1], _about(roster, me, other))
        for other in roster.graph.neighbours(me)
    ]
    return commitment(secrets.seed) + b"".join(sealed)


def open_share(secrets: Secrets, roster: Roster, me: int, sender: int, sealed: bytes) -> tuple[bytes, bytes] | None:
    """Return the shares of the mask key and of the seed that a neighbour sealed for this device, `None` for rubbish."""
    try:
        key = _pair_key(secrets, roster, me, sender, sender)
    except ProtocolError:
        return None
    found = unseal(key, sealed, _about(roster, sender, me))
    return None if found is None else (found[:SHARE_BYTES], found[SHARE_BYTES:])


def shares_bytes(roster: Roster, device: int) -> int:
    """Return how many bytes `seal_shares` gives."""
    return COMMITMENT_BYTES + SEALED_BYTES * len(roster.graph.neighbours(device))


def reopened_seed(shares: Mapping[int, bytes], roster: Roster, committed: bytes) -> bytes:
    """Return a device's seed, out of shares by their holders' numbers.

    Raises:
        ProtocolError: if the shares do not give what the device committed itself to.
    """
    return _reopened(shares, roster, lambda seed: commitment(seed) == committed)


def reopened_key(shares: Mapping[int, bytes], roster: Roster, device: int) -> AgreementKey:
    """Return a device's mask key, out of shares by their holders' numbers.

    Raises:
        ProtocolError: if the shares do not give the key that stands in the roster.
    """
    public = roster.entries[device].mask
    return AgreementKey(_reopened(shares, roster, lambda private: AgreementKey(private).public == public))


def _reopened(shares: Mapping[int, bytes], roster: Roster, fits: Callable[[bytes], bool]) -> bytes:
    threshold, points = roster.plan.threshold, {holder + 1: share for holder, share in shares.items()}
    for chosen in islice(combinations(sorted(points), threshold), TRIES):
        try:
            found = combine({point: points[point] for point in chosen}, threshold)
        except ProtocolError:
            continue
        if fits(found):
            return found
    raise ProtocolError(f"a secret of a secure round: {len(points)} shares were revealed, and they do not give it")


def _pair_key(secrets: Secrets, roster: Roster, me: int, other: int, sender: int) -> bytes:
    agreed = secrets.agreement.agree(roster.entries[other].agreement)
    recipient = other if sender == me else me
    return derive(agreed, b"edgewise share 1 " + struct.pack("<II", sender, recipient), roster.hash)


def _about(roster: Roster, sender: int, recipient: int) -> bytes:
    return roster.hash + struct.pack("<II", sender, recipient)
