"""A device in one secure round: what it answers to each thing that a coordinator tells it, and what it refuses.

It keeps `Notes`. Law: whoever runs it puts them on disk before what they gave rise to is sent. A device that is killed
then goes on with the same keys, the same roster, the same sharers and the same survivors, or not at all: no mask is
ever used for two inputs, and never are shares of both secrets of one device handed out.
"""

from __future__ import annotations

import dataclasses
import json
import secrets
from collections.abc import Generator
from dataclasses import dataclass

from edgewise_wire.crypto.enrolled import Enrolled, Register
from edgewise_wire.errors import ProtocolError, RefusedError
from edgewise_wire.messages import (
    SecureConsent,
    SecureInbox,
    SecureKeys,
    SecurePledge,
    SecureQuorum,
    SecureReveal,
    SecureShares,
    SecureSurvivors,
    SecureTerms,
)
from edgewise_wire.secure.consistency import (
    check_quorum,
    check_sharers,
    cut,
    sharers_statement,
    sum_statement,
)
from edgewise_wire.secure.fixed_point import FixedPoint
from edgewise_wire.secure.masking import mask
from edgewise_wire.secure.roll import from_roll, to_roll
from edgewise_wire.secure.roster import Entry, Roster
from edgewise_wire.secure.sharing import SEALED_BYTES, Secrets, open_share, seal_shares, shared
from edgewise_wire.secure.words import Words, pack


@dataclass
class Notes:
    """What a device has bound itself to in one attempt of one round; each field is set once."""

    master: bytes
    certificate: bytes = b""
    signature: bytes = b""
    roster: bytes = b""
    sharers: bytes = b""
    inbox: bytes = b""
    survivors: bytes = b""

    @classmethod
    def fresh(cls) -> Notes:
        """Return those of a new attempt, with new secrets."""
        return cls(secrets.token_bytes(32))

    def to_bytes(self) -> bytes:
        """Return them for a file."""
        return json.dumps({f.name: getattr(self, f.name).hex() for f in dataclasses.fields(self)}).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Notes | None:
        """Read them; `None` if they are torn."""
        try:
            found = {name: bytes.fromhex(text) for name, text in json.loads(data).items()}
            return cls(**found)
        except (ValueError, TypeError, AttributeError):
            return None


@dataclass(frozen=True, slots=True)
class Rules:
    """What a device's owner asks of a secure round: the fewest devices in it, and the fewest in its sum."""

    cohort: int = 0
    survivors: int = 0


class Member:
    """One device in one secure round.

    Args:
        fleet, round_id, device, attempt: of its assignment.
        terms: of its assignment.
        notes: what it has bound itself to so far.
        enrolled: its papers; `None` in a fleet without certificates.
        register: knows who else is enrolled; `None` there.
        rules: its owner's.

    Each method gives the answer to one message and may change `notes`; the same message again gets the same answer.
    They raise RefusedError where the owner's rules, or the round's promises, forbid to go on, and ProtocolError for
    what is no such message.
    """

    def __init__(
        self, fleet: str, round_id: int, device: str, attempt: int, terms: SecureTerms, notes: Notes,
        *, enrolled: Enrolled | None = None, register: Register | None = None, rules: Rules = Rules(),
    ) -> None:  # fmt: skip
        self.notes = notes
        self.form = FixedPoint(terms.cohort, terms.value_bits, terms.range, terms.weight_max, terms.noise)
        self._fleet, self._round, self._device, self._attempt = fleet, round_id, device, attempt
        self._terms, self._register, self._rules = terms, register, rules
        self._secrets = Secrets(notes.master)
        self._roster: Roster | None = None
        self._me = -1
        self._own = self._entry(enrolled)

    @property
    def roster_hash(self) -> bytes:
        """The hash of the roster that it takes part under, empty before."""
        return self.notes.roster

    def keys(self) -> SecureKeys:
        """Return what it advertises."""
        own = self._own
        return SecureKeys(self._attempt, own.agreement, own.mask, own.signer, own.certificate, own.signature)

    def join(self, data: bytes, now: float) -> SecureShares:
        """Take a roster, and share the secrets with the neighbours in it.

        Args:
            data: the roster.
            now: seconds since the epoch.
        """
        roster = Roster.from_bytes(data)
        if (roster.fleet, roster.round) != (self._fleet, self._round):
            raise RefusedError(f"secure round: the roster is of {roster.fleet!r}, round {roster.round}")
        if self.notes.roster != roster.hash:  # else it was checked before this process began
            roster.check(self._own, self._terms, self._register, self._rules.cohort, now)
        self._bind("roster", roster.hash)
        self._roster, self._me = roster, roster.numbers[self._device]
        return SecureShares(self._attempt, seal_shares(self._secrets, roster, self._me))

    def take(self, inbox: SecureInbox) -> SecurePledge:
        """Note who has shared, keep what neighbours have sealed, and sign whom the update is masked with."""
        roster = self._joined()
        sharers = from_roll(inbox.sharers, len(roster.entries))
        senders = sharers.intersection(roster.graph.neighbours(self._me))
        if self._me not in sharers or len(sharers) < self._least:
            raise RefusedError(f"secure round: {len(sharers)} devices shared their secrets, expected {self._least}")
        if len(inbox.data) != SEALED_BYTES * len(senders):
            raise ProtocolError(f"sealed shares: expected {SEALED_BYTES * len(senders)} bytes, got {len(inbox.data)}")
        self._bind("sharers", inbox.sharers)
        self._bind("inbox", inbox.data)
        return self.pledge()

    def pledge(self) -> SecurePledge:
        """Return what `take` returned."""
        statement = sharers_statement(self._joined(), self._sharers())
        return SecurePledge(self._attempt, self._secrets.signer.sign(statement))

    def masking(self, words: Words) -> Generator[None, None, bytes]:
        """Mask a device's words, a mask between any two yields; return them packed."""
        bits = self.form.modulus_bits
        return pack((yield from mask(words, self._secrets, self._joined(), self._me, self._sharers(), bits)), bits)

    def masked(self, words: Words) -> bytes:
        """Return what `masking` comes to."""
        work = self.masking(words)
        while True:
            try:
                next(work)
            except StopIteration as end:
                return bytes(end.value)

    def consent(self, told: SecureSurvivors) -> SecureConsent:
        """Sign who survived, this once."""
        roster, sharers = self._joined(), self._sharers()
        survivors = from_roll(told.survivors, len(roster.entries))
        if not survivors <= sharers or self._me not in survivors:
            raise RefusedError("secure round: its survivors are not who it was masked with, this device among them")
        if len(survivors) < self._least:
            raise RefusedError(f"secure round: {len(survivors)} updates are in its sum, expected {self._least}")
        near = sorted(survivors.intersection(roster.graph.neighbours(self._me)))
        check_sharers(roster, sharers, _each(near, told.data, "pledges of survivors"))
        self._bind("survivors", told.survivors)
        return SecureConsent(self._attempt, self._secrets.signer.sign(sum_statement(roster, sharers, survivors)))

    def reveal(self, quorum: SecureQuorum) -> SecureReveal:
        """Open the shares of the neighbours' own masks where they survived, of the keys of their masks where not."""
        roster, sharers = self._joined(), self._sharers()
        size = len(roster.entries)
        if not self.notes.survivors:
            raise RefusedError("secure round: shares were asked for before this device has seen who survived")
        survivors = from_roll(self.notes.survivors, size)
        signers = sorted(from_roll(quorum.signers, size))
        check_quorum(roster, sharers, survivors, _each(signers, quorum.data, "consents"))
        held = self._held(roster, sharers)
        of = sorted(held)
        shares = [held[device][1] if device in survivors else held[device][0] for device in of]
        return SecureReveal(self._attempt, to_roll(of, size), b"".join(shares))

    def _held(self, roster: Roster, sharers: frozenset[int]) -> dict[int, tuple[bytes, bytes]]:
        senders = sorted(sharers.intersection(roster.graph.neighbours(self._me)))
        pieces = zip(senders, cut(self.notes.inbox, SEALED_BYTES), strict=True)
        opened = {n: open_share(self._secrets, roster, self._me, n, piece) for n, piece in pieces}
        held = {number: shares for number, shares in opened.items() if shares is not None}
        return held | {self._me: shared(self._secrets, roster, self._me)[self._me]}

    @property
    def _least(self) -> int:
        return max(self._terms.least, self._rules.survivors, self._joined().plan.quorum)

    def _joined(self) -> Roster:
        if self._roster is None:
            raise RefusedError("secure round: this device has not seen its roster")
        return self._roster

    def _sharers(self) -> frozenset[int]:
        if not self.notes.sharers:
            raise RefusedError("secure round: this device has not heard who shared secrets")
        return from_roll(self.notes.sharers, len(self._joined().entries))

    def _entry(self, enrolled: Enrolled | None) -> Entry:
        made = Entry(
            self._device, self._attempt, self._secrets.agreement.public, self._secrets.mask.public,
            self._secrets.signer.public, self.notes.certificate, self.notes.signature,
        )  # fmt: skip
        if enrolled is None or made.signature:
            return made
        # An ECDSA signature is another one each time; the first is kept, so that a roster with it stays ours.
        self.notes.certificate = enrolled.certificate
        self.notes.signature = enrolled.sign(made.statement(self._fleet, self._round))
        return dataclasses.replace(made, certificate=self.notes.certificate, signature=self.notes.signature)

    def _bind(self, what: str, value: bytes) -> None:
        known = getattr(self.notes, what)
        if known and known != value:
            raise RefusedError(f"secure round: the coordinator told this device a second {what}")
        setattr(self.notes, what, value)


def _each(numbers: list[int], data: bytes, what: str) -> dict[int, bytes]:
    """Return signatures by the numbers of those who made them."""
    pieces = cut(data)
    if len(pieces) != len(numbers) or any(len(piece) != len(pieces[0]) for piece in pieces):
        raise ProtocolError(f"{what}: expected {len(numbers)} of 64 bytes, got {len(data)} bytes")
    return dict(zip(numbers, pieces, strict=True))
