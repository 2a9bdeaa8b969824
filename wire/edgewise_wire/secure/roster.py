"""Who takes part in a secure round: names, keys, and the numbers of the graph. All agree on its hash, or on nothing.

    roster  := "EWR1" · u8 length · fleet · u64 round · u32 size · u32 degree · u32 threshold · u32 quorum
               · terms · entry*
    terms   := u32 cohort · u32 least · u8 value_bits · f64 range · u32 weight_max · f64 noise · f64 clip
    entry   := u8 length · name · u32 attempt · agreement[32] · mask[32] · signer[32]
               · u16 length · certificate · u8 length · signature

Numbers are little-endian; entries stand in the order of their names' bytes, and their places are the devices' numbers.
"""

from __future__ import annotations

import hashlib
import itertools
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from edgewise_wire.crypto.agreement import KEY_BYTES
from edgewise_wire.crypto.enrolled import Register
from edgewise_wire.errors import ProtocolError, RefusedError
from edgewise_wire.messages import COHORT_MAX, SecureTerms
from edgewise_wire.secure.graph import Graph, Plan, unsafe

MAGIC = b"EWR1"
BYTES_MAX = 1 << 21  # 1,536 entries with their certificates have 1.3 MB
_HEAD = struct.Struct("<QIIII")
_TERMS = struct.Struct("<IIBdIdd")


@dataclass(frozen=True, slots=True)
class Entry:
    """One device and the keys it advertised."""

    device: str
    attempt: int
    agreement: bytes
    mask: bytes
    signer: bytes
    certificate: bytes = b""
    signature: bytes = b""

    def statement(self, fleet: str, round_id: int) -> bytes:
        """Return what a device signs with the key it was enrolled with."""
        head = f"edgewise secure keys 1\n{fleet}\n{self.device}\n".encode()
        return head + struct.pack("<QI", round_id, self.attempt) + self.agreement + self.mask + self.signer

    def vouched_for(self, register: Register, fleet: str, round_id: int, now: float) -> bool:
        """Return whether an enrolled device of this name advertised these keys for this round."""
        said = self.statement(fleet, round_id)
        return register.vouches_for(self.device, self.certificate, said, self.signature, now)

    def to_bytes(self) -> bytes:
        """Return it as it stands in a roster."""
        name = self.device.encode()
        return b"".join((
            bytes([len(name)]), name, struct.pack("<I", self.attempt), self.agreement, self.mask, self.signer,
            struct.pack("<H", len(self.certificate)), self.certificate, bytes([len(self.signature)]), self.signature,
        ))  # fmt: skip


@dataclass(frozen=True)
class Roster:
    """The devices of one secure round, in the order of their names.

    Law: two devices that hold rosters of the same hash hold the same roster. Every key, share and signature of the
    round is bound to that hash.
    """

    fleet: str
    round: int
    plan: Plan
    terms: SecureTerms
    entries: tuple[Entry, ...]

    @cached_property
    def data(self) -> bytes:
        """The roster as bytes."""
        t, p, fleet = self.terms, self.plan, self.fleet.encode()
        numbers = _HEAD.pack(self.round, len(self.entries), p.degree, p.threshold, p.quorum)
        terms = _TERMS.pack(t.cohort, t.least, t.value_bits, t.range, t.weight_max, t.noise, t.clip)
        head = MAGIC + bytes([len(fleet)]) + fleet + numbers + terms
        return head + b"".join(entry.to_bytes() for entry in self.entries)

    @cached_property
    def hash(self) -> bytes:
        """The SHA-256 of the bytes; the graph's seed."""
        return hashlib.sha256(self.data).digest()

    @cached_property
    def graph(self) -> Graph:
        """Who is whose neighbour."""
        return Graph(self.hash, len(self.entries), self.plan.degree)

    @cached_property
    def numbers(self) -> dict[str, int]:
        """Each device's number, by its name."""
        return {entry.device: number for number, entry in enumerate(self.entries)}

    @classmethod
    def make(cls, fleet: str, round_id: int, plan: Plan, terms: SecureTerms, entries: Sequence[Entry]) -> Roster:
        """Put a roster together."""
        return cls(fleet, round_id, plan, terms, tuple(sorted(entries, key=lambda entry: entry.device.encode())))

    @classmethod
    def from_bytes(cls, data: bytes) -> Roster:
        """Read a roster.

        Raises:
            ProtocolError: if the bytes are none, or not just the ones that it would be written as.
        """
        try:
            made = _read(data)
        except (struct.error, IndexError, UnicodeDecodeError) as error:
            raise ProtocolError(f"roster of {len(data)} bytes: cut short or damaged ({error})") from error
        if made.data != data:
            raise ProtocolError(f"roster of {len(data)} bytes: not written as it must be")
        names = [entry.device.encode() for entry in made.entries]
        if any(one >= two for one, two in itertools.pairwise(names)):
            raise ProtocolError("roster: its devices do not stand in the order of their names, each once")
        keys = [key for entry in made.entries for key in (entry.agreement, entry.mask, entry.signer)]
        if len(set(keys)) != len(keys):
            raise ProtocolError("roster: a key stands in it twice")
        return made

    def check(self, own: Entry, terms: SecureTerms, register: Register | None, least: int, now: float) -> None:
        """Check, as a device, that nothing is wrong with taking part.

        Args:
            own: what this device advertised.
            terms: those of its assignment.
            register: who is enrolled; `None` in a fleet without certificates, where the coordinator is believed.
            least: the fewest devices that the owner allows.
            now: seconds since the epoch.

        Raises:
            RefusedError: naming what is.
        """
        size = len(self.entries)
        number = self.numbers.get(own.device)
        if self.terms != terms:
            raise RefusedError("secure round: its roster has other terms than the assignment")
        if number is None or self.entries[number] != own:
            raise RefusedError("secure round: its roster does not have this device's keys")
        if not max(least, terms.least) <= size <= terms.cohort:
            raise RefusedError(
                f"secure round: {size} devices take part, expected {max(least, terms.least)} to {terms.cohort}"
            )
        if why := unsafe(self.plan):
            raise RefusedError(f"secure round: {why}")
        if register is None:
            return
        for entry in self.entries:
            if not entry.vouched_for(register, self.fleet, self.round, now):
                raise RefusedError(f"secure round: {entry.device!r} is in its roster without having been enrolled")


def _read(data: bytes) -> Roster:
    if data[:4] != MAGIC or len(data) > BYTES_MAX:
        raise ProtocolError(f"roster of {len(data)} bytes: expected at most {BYTES_MAX}, beginning with {MAGIC!r}")
    fleet, at = _counted(data, 4, "<B")
    round_id, size, degree, threshold, quorum = _HEAD.unpack_from(data, at)
    terms = SecureTerms(*_TERMS.unpack_from(data, at + _HEAD.size))
    at += _HEAD.size + _TERMS.size
    if not 2 <= size <= COHORT_MAX:
        raise ProtocolError(f"roster of {size} devices: expected 2 to {COHORT_MAX}")
    entries = []
    for _ in range(size):
        name, at = _counted(data, at, "<B")
        (attempt,) = struct.unpack_from("<I", data, at)
        at += 4
        first, second, third = (data[at + KEY_BYTES * i : at + KEY_BYTES * (i + 1)] for i in range(3))
        certificate, at = _counted(data, at + 3 * KEY_BYTES, "<H")
        signature, at = _counted(data, at, "<B")
        entries.append(Entry(name.decode(), attempt, first, second, third, certificate, signature))
    return Roster(fleet.decode(), round_id, Plan(size, degree, threshold, quorum), terms, tuple(entries))


def _counted(data: bytes, at: int, form: str) -> tuple[bytes, int]:
    (length,) = struct.unpack_from(form, data, at)
    start = at + struct.calcsize(form)
    return data[start : start + length], start + length
