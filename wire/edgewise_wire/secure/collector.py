"""The coordinator in one secure round: what it takes from devices, what it tells them, and the sum in the end.

It is pure: it sends nothing, stores nothing and knows no time. Everything that it is given is checked, and given again
it changes nothing; so a coordinator that comes back gives it again what it has on disk.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from edgewise_wire.crypto.agreement import MaskAdder
from edgewise_wire.crypto.enrolled import Register
from edgewise_wire.errors import InputError, ProtocolError, RefusedError
from edgewise_wire.messages import (
    SecureInbox,
    SecureKeys,
    SecureQuorum,
    SecureReveal,
    SecureSurvivors,
    SecureTerms,
)
from edgewise_wire.secure.consistency import cut, sharers_statement, signed, sum_statement
from edgewise_wire.secure.fixed_point import FixedPoint
from edgewise_wire.secure.graph import Plan
from edgewise_wire.secure.masking import left_over, truncate
from edgewise_wire.secure.roll import from_roll, to_roll
from edgewise_wire.secure.roster import Entry, Roster
from edgewise_wire.secure.shamir import SHARE_BYTES, check_share
from edgewise_wire.secure.sharing import (
    COMMITMENT_BYTES,
    SEALED_BYTES,
    reopened_key,
    reopened_seed,
    shares_bytes,
)
from edgewise_wire.secure.words import Words


class Collector:
    """One secure round, as far as it has come.

    Args:
        fleet, round_id: of the round.
        terms: what its devices were told.
        register: knows who is enrolled; `None` in a fleet without certificates.

    Attributes:
        keys: what devices advertised, by name.
        roster: who takes part, once `call` has fixed it; devices go by their numbers in it from then on.
        shares: what each has shared.
        sharers: who has, once `close_sharing` has fixed it.
        pledges: the signature of each that has heard who the sharers are.
        survivors: whose updates are in the sum, once `close_masking` has fixed it.
        consents: the signature of each that agrees.
    """

    def __init__(self, fleet: str, round_id: int, terms: SecureTerms, register: Register | None = None) -> None:
        self.terms = terms
        self.form = FixedPoint(terms.cohort, terms.value_bits, terms.range, terms.weight_max, terms.noise)
        self._fleet, self._round, self._register = fleet, round_id, register
        self.keys: dict[str, Entry] = {}
        self.roster: Roster | None = None
        self.shares: dict[int, bytes] = {}
        self.sharers: frozenset[int] = frozenset()
        self.pledges: dict[int, bytes] = {}
        self.survivors: frozenset[int] = frozenset()
        self.consents: dict[int, bytes] = {}
        self.revealed: set[int] = set()
        self._opened: dict[int, dict[int, bytes]] = defaultdict(dict)

    # Keys and roster -----------------------------------------------------------------------------------------------

    def advertise(self, device: str, said: SecureKeys, now: float) -> None:
        """Take a device's keys.

        Raises:
            RefusedError: if it is not enrolled, or others have these keys already.
            ProtocolError: if one is missing.
        """
        entry = _entry(device, said)
        if not (entry.agreement and entry.mask and entry.signer):
            raise ProtocolError("secure round: expected three keys of 32 bytes")
        if self._register is not None and not entry.vouched_for(self._register, self._fleet, self._round, now):
            raise RefusedError("secure round: its keys are not signed with the key that it was enrolled with")
        own = {entry.agreement, entry.mask, entry.signer}
        taken = {k for e in self.keys.values() if e.device != device for k in (e.agreement, e.mask, e.signer)}
        if len(own) < 3 or own & taken:
            raise RefusedError("secure round: its keys are not its own alone")
        self.keys[device] = entry

    def restore_keys(self, device: str, said: SecureKeys) -> None:
        """Take keys that were checked before a restart."""
        self.keys[device] = _entry(device, said)

    def members(self, roll: bytes) -> frozenset[int]:
        """Return a set of the roster's devices, out of its bits."""
        return from_roll(roll, len(self._known().entries))

    def roll(self, members: frozenset[int]) -> bytes:
        """Return a set of the roster's devices as bits."""
        return to_roll(members, len(self._known().entries))

    def call(self, devices: list[str], plan: Plan) -> Roster:
        """Fix who takes part."""
        entries = [self.keys[device] for device in devices]
        self.roster = Roster.make(self._fleet, self._round, plan, self.terms, entries)
        return self.roster

    def number(self, device: str) -> int | None:
        """Return a device's number, `None` if it is not in the roster."""
        return None if self.roster is None else self.roster.numbers.get(device)

    # Shares --------------------------------------------------------------------------------------------------------

    def share(self, device: int, data: bytes) -> None:
        """Take what a device has sealed for its neighbours.

        Raises:
            ProtocolError: if it is not as long as it must be.
        """
        expected = shares_bytes(self._known(), device)
        if len(data) != expected:
            raise ProtocolError(f"sealed shares: expected {expected} bytes, got {len(data)}")
        self.shares.setdefault(device, data)

    def close_sharing(self, sharers: frozenset[int] | None = None) -> None:
        """Fix who is in the masks: everyone who has shared, or those of before a restart."""
        self.sharers = frozenset(self.shares) if sharers is None else sharers

    def inbox(self, device: int, attempt: int) -> SecureInbox:
        """Return what to tell a device about the sharers."""
        roster = self._known()
        near = [other for other in roster.graph.neighbours(device) if other in self.sharers]
        pieces = [self._sealed(other, roster.graph.neighbours(other).index(device)) for other in near]
        return SecureInbox(attempt, to_roll(self.sharers, len(roster.entries)), b"".join(pieces))

    def _sealed(self, sender: int, place: int) -> bytes:
        start = COMMITMENT_BYTES + SEALED_BYTES * place
        return self.shares[sender][start : start + SEALED_BYTES]

    # Masked updates and consent ------------------------------------------------------------------------------------

    def pledge(self, device: int, signature: bytes) -> None:
        """Take a device's word that it masks with the sharers and nobody else.

        Raises:
            ProtocolError: if it is not its signature of them.
        """
        roster = self._known()
        if device not in self.sharers or not signed(roster, device, sharers_statement(roster, self.sharers), signature):
            raise ProtocolError("pledge: not a sharer's signature of who shared")
        self.pledges[device] = signature

    def close_masking(self, survivors: frozenset[int]) -> None:
        """Fix whose updates are in the sum; each of them has pledged itself.

        Raises:
            InputError: if one has not.
        """
        if not survivors <= self.pledges.keys():
            raise InputError("secure round: an update without its device's pledge is in the sum")
        self.survivors = survivors

    def told(self, device: int, attempt: int) -> SecureSurvivors:
        """Return what to tell a device about the survivors."""
        roster = self._known()
        near = [other for other in roster.graph.neighbours(device) if other in self.survivors]
        proofs = b"".join(self.pledges[other] for other in near)
        return SecureSurvivors(attempt, to_roll(self.survivors, len(roster.entries)), proofs)

    def consent(self, device: int, signature: bytes) -> None:
        """Take a survivor's consent.

        Raises:
            ProtocolError: if it is not its signature of these lists.
        """
        roster = self._known()
        statement = sum_statement(roster, self.sharers, self.survivors)
        if device not in self.survivors or not signed(roster, device, statement, signature):
            raise ProtocolError("consent: not a survivor's signature of who shared and who survived")
        self.consents[device] = signature

    @property
    def agreed(self) -> bool:
        """Whether a quorum agrees."""
        return len(self.consents) >= self._known().plan.quorum

    def quorum(self, attempt: int) -> SecureQuorum:
        """Return the proof that a quorum agrees: no more signatures than it takes."""
        roster = self._known()
        signers = sorted(self.consents)[: roster.plan.quorum]
        data = b"".join(self.consents[device] for device in signers)
        return SecureQuorum(attempt, to_roll(signers, len(roster.entries)), data)

    # Unmasking -----------------------------------------------------------------------------------------------------

    def reveal(self, device: int, said: SecureReveal) -> None:
        """Take the shares that a survivor opens.

        Raises:
            ProtocolError: if it holds no such shares, or one is none.
        """
        roster = self._known()
        of = sorted(from_roll(said.of, len(roster.entries)))
        pieces = cut(said.data, SHARE_BYTES)
        if device not in self.survivors or not self.sharers.intersection(roster.graph.holders(device)).issuperset(of):
            raise ProtocolError("opened shares: not those that this device holds")
        if len(pieces) != len(of):
            raise ProtocolError(f"opened shares: expected {SHARE_BYTES * len(of)} bytes, got {len(said.data)}")
        for share in pieces:
            check_share(share)
        for target, share in zip(of, pieces, strict=True):
            self._opened[target][device] = share
        self.revealed.add(device)

    @property
    def openable(self) -> bool:
        """Whether every secret that the sum needs has enough shares."""
        least = self._known().plan.threshold
        return all(len(self._opened[device]) >= least for device in self.sharers)

    def unmask(self, total: Words) -> Iterator[None]:
        """Take every mask off `total` in place, yielding after each; below the threshold nothing is taken off.

        Raises:
            RefusedError: if too few devices survived, agreed or opened their shares.
            ProtocolError: if shares do not give the secrets that their devices bound themselves to.
        """
        roster = self._known()
        least = max(roster.plan.quorum, self.terms.least)
        if len(self.survivors) < least or not self.agreed or not self.openable:
            raise RefusedError(
                f"secure sum: {len(self.survivors)} updates, {len(self.consents)} consents; expected at least {least},"
                f" and {roster.plan.threshold} shares of every secret"
            )
        seeds = {d: reopened_seed(self._opened[d], roster, self._committed(d)) for d in sorted(self.survivors)}
        keys = {d: reopened_key(self._opened[d], roster, d) for d in sorted(self.sharers - self.survivors)}
        adder = MaskAdder()
        for key, sign in left_over(roster, self.sharers, self.survivors, seeds, keys):
            adder.add(total, key, sign=sign)
            yield
        truncate(total, self.form.modulus_bits)

    @property
    def masks(self) -> int:
        """How many masks `unmask` takes off."""
        graph = self._known().graph
        silent = self.sharers - self.survivors
        return len(self.survivors) + sum(len(self.survivors.intersection(graph.neighbours(d))) for d in silent)

    def _committed(self, device: int) -> bytes:
        return self.shares[device][:COMMITMENT_BYTES]

    def _known(self) -> Roster:
        if self.roster is None:
            raise RefusedError("secure round: its roster is not fixed")
        return self.roster


def _entry(device: str, said: SecureKeys) -> Entry:
    return Entry(device, said.attempt, said.agreement, said.mask, said.signer, said.certificate, said.signature)
