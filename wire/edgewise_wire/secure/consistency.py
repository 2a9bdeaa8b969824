"""What devices sign so that a coordinator cannot tell two of them two things (Bonawitz et al. 2017, §6, round 3).

Each device signs the list of sharers that it masked under. Each then signs that list together with the list of
survivors, once; it opens its shares after a quorum has signed the same, and then only those of survivors who masked
under the same sharers.
"""

from __future__ import annotations

from collections.abc import Mapping

from edgewise_wire.crypto.agreement import SIGNATURE_BYTES, signed_by
from edgewise_wire.errors import RefusedError
from edgewise_wire.secure.roll import to_roll
from edgewise_wire.secure.roster import Roster


def sharers_statement(roster: Roster, sharers: frozenset[int]) -> bytes:
    """Return what a device signs about whom it masked with."""
    return b"edgewise secure sharers 1\n" + roster.hash + to_roll(sharers, len(roster.entries))


def sum_statement(roster: Roster, sharers: frozenset[int], survivors: frozenset[int]) -> bytes:
    """Return what a device signs about whose masks may be taken off."""
    size = len(roster.entries)
    return b"edgewise secure sum 1\n" + roster.hash + to_roll(sharers, size) + to_roll(survivors, size)


def signed(roster: Roster, device: int, statement: bytes, signature: bytes) -> bool:
    """Return whether a device of the roster signed this."""
    return signed_by(roster.entries[device].signer, statement, signature)


def check_sharers(roster: Roster, sharers: frozenset[int], signatures: Mapping[int, bytes]) -> None:
    """Check that each of these devices masked under the same sharers.

    Raises:
        RefusedError: naming one that did not.
    """
    statement = sharers_statement(roster, sharers)
    for device, signature in signatures.items():
        if not signed(roster, device, statement, signature):
            name = roster.entries[device].device
            raise RefusedError(f"secure round: no proof that {name!r} masked its update with the same devices")


def check_quorum(
    roster: Roster, sharers: frozenset[int], survivors: frozenset[int], signatures: Mapping[int, bytes]
) -> None:
    """Check that a quorum of survivors has signed just these lists.

    Raises:
        RefusedError: if it has not.
    """
    statement = sum_statement(roster, sharers, survivors)
    good = sum(device in survivors and signed(roster, device, statement, s) for device, s in signatures.items())
    if good < roster.plan.quorum:
        raise RefusedError(
            f"secure round: {good} devices agree on who survived, expected at least {roster.plan.quorum}"
        )


def cut(data: bytes, width: int = SIGNATURE_BYTES) -> list[bytes]:
    """Return bytes in pieces of one width."""
    return [data[at : at + width] for at in range(0, len(data), width)]
