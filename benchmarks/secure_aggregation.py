"""What secure aggregation costs: bytes up per device, seconds on a device and on the coordinator.

    .venv/bin/python benchmarks/secure_aggregation.py                  # the table (about seven minutes)
    .venv/bin/python benchmarks/secure_aggregation.py --cohorts 64 --json

For each cohort and drop-out three things are done, with the protocol's own code and no network:

- a whole round of every device over a small model (--small numbers), its sum compared with the sum in the clear:
  exact or not;
- one device of that cohort at the full size: what it sends in all phases, counted in encoded messages, and the seconds
  it computes;
- the coordinator at the full size: unpacking and adding one masked update and taking one mask off, measured; times how
  often each happens in that round. (All of it at full size would be hours of cipher at 1,024 devices and 33 %.)

The limit is the cipher: a mask is one ChaCha20 stream as long as the model. Its rate is measured in the same run.
Seconds are the processor's, of one core: all of it is computing, and whatever else a machine does need not count.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import numpy as np

from edgewise_wire.blobs import chunk_count, make_ref
from edgewise_wire.codec import encode
from edgewise_wire.crypto.agreement import AgreementKey, MaskAdder, key_stream
from edgewise_wire.crypto.authority import Authority
from edgewise_wire.crypto.enrolled import Enrolled, Register
from edgewise_wire.messages import (
    CHUNK_BYTES,
    Body,
    Envelope,
    SecureConsent,
    SecureTerms,
    UploadChunk,
    UploadRequest,
)
from edgewise_wire.secure import consistency, sharing
from edgewise_wire.secure import member as device_half
from edgewise_wire.secure.collector import Collector
from edgewise_wire.secure.form import EXTRA
from edgewise_wire.secure.graph import Plan, plan
from edgewise_wire.secure.member import Member, Notes
from edgewise_wire.secure.roster import Roster
from edgewise_wire.secure.words import unpack

FULL = 1_422_250  # parameters of the next-word model (CIFG-LSTM, 10,000 words)
NOW = 1.8e9
FLEET, ROUND = "bench", 1


def sent(body: Body) -> int:
    """Return the bytes of a message on the wire."""
    return len(encode(Envelope(FLEET, ROUND, 1 << 40, body)))


def uploaded(data: bytes) -> int:
    """Return the bytes of an upload: its request and its chunks."""
    ref = make_ref(data)
    chunks = [UploadChunk(1, n, data[n * CHUNK_BYTES : (n + 1) * CHUNK_BYTES]) for n in range(chunk_count(ref))]
    return sent(UploadRequest(1, ref, 1, encoding="masked")) + sum(map(sent, chunks))


class Once:
    """Does once what each of a thousand devices would do for itself, but for the watched one while it is timed.

    Two devices agree on the same secret, all of them read the same roster and check the same signatures, and each
    makes its own shares twice. In one process, most of the benchmark would be repetitions of that.
    """

    def __init__(self) -> None:
        self.timing = False
        self._public: dict[bytes, bytes] = {}
        self._known: dict[Any, Any] = {}
        self._patched: list[tuple[Any, str, Any]] = []

    def __enter__(self) -> Once:
        read, agree, signed, shared = Roster.from_bytes, AgreementKey.agree, consistency.signed, sharing.shared
        self._patch(Roster, "from_bytes", staticmethod(lambda data: self._once(("roster", data), read, data)))
        self._patch(AgreementKey, "agree", lambda key, public: self._once(self._pair(key, public), agree, key, public))
        self._patch(consistency, "signed", lambda roster, *said: self._once(("signed", *said), signed, roster, *said))
        for module in (sharing, device_half):
            self._patch(
                module, "shared", lambda secrets, *of: self._once(("shares", secrets.master), shared, secrets, *of)
            )
        return self

    def __exit__(self, *_: object) -> None:
        for owner, name, before in self._patched:
            setattr(owner, name, before)

    def _patch(self, owner: Any, name: str, replacement: Any) -> None:
        self._patched.append((owner, name, vars(owner)[name]))
        setattr(owner, name, replacement)

    def _pair(self, key: AgreementKey, public: bytes) -> tuple[str, frozenset[bytes]]:
        if key.private not in self._public:
            self._public[key.private] = key.public
        return "agreed", frozenset((self._public[key.private], public))

    def _once(self, what: Any, act: Any, *arguments: Any) -> Any:
        if self.timing:
            return act(*arguments)
        if what not in self._known:
            self._known[what] = act(*arguments)
        return self._known[what]


class Fleet:
    """Every device of one cohort, enrolled by one authority."""

    def __init__(self, size: int, bits: int, dropout: float, share: float, once: Once) -> None:
        self.once = once
        self.plan: Plan = plan(size, dropout=dropout)
        self.terms = SecureTerms(size, 2, bits, 1.0, 1, 0.0, 0.0)
        authority = Authority.create(FLEET, now=NOW)
        self.register = Register(authority.cert)
        self.collector = Collector(FLEET, ROUND, self.terms, self.register)
        self.members: dict[str, Member] = {}
        for number in range(size):
            name = f"device-{number:04}"
            papers = authority.issue_client(name, days=1, now=NOW)
            own = Enrolled(papers.cert, papers.key)
            self.members[name] = Member(
                FLEET, ROUND, name, 1, self.terms, Notes.fresh(), enrolled=own, register=self.register
            )
        self.silent = int(share * size)
        self.up = 0
        self.seconds: dict[str, float] = {}

    def run(self, numbers: int, watched: str) -> bool:
        """Run a whole round over `numbers` numbers; return whether its sum is the one in the clear.

        `watched` is the device whose bytes and seconds are kept. A third of the drop-outs are gone before sharing ends,
        the rest after: those are the ones that cost the coordinator their masks.
        """
        collector, form, rng = self.collector, self.collector.form, np.random.default_rng(7)
        for name, member in self.members.items():
            keys = self._timed(name, watched, "keys", member.keys)
            self._up(name, watched, sent(keys))
            collector.keys[name] = self._entry(name, keys)  # their signatures are checked by every device below
        roster = collector.call(sorted(self.members), self.plan)
        for name, member in self.members.items():
            if name != watched:
                member._register = None  # one device checks all certificates and is timed; so would each of them
            shares = self._timed(name, watched, "shares", lambda member=member: member.join(roster.data, NOW))
            self._up(name, watched, sent(shares))
            collector.share(roster.numbers[name], shares.data)
        collector.close_sharing()
        gone = {name for name in self.members if name != watched}
        gone = set(sorted(gone)[: self.silent])
        total, plain = np.zeros(numbers + EXTRA, np.uint32), np.zeros(numbers + EXTRA, np.uint32)
        for name, member in self.members.items():
            if name in gone:
                continue
            number = roster.numbers[name]
            inbox = collector.inbox(number, 1)
            pledge = self._timed(name, watched, "inbox", lambda member=member, inbox=inbox: member.take(inbox))
            self._up(name, watched, sent(pledge))
            collector.pledge(number, pledge.signature)
            words = form.encode(rng.normal(0, 0.1, numbers).astype("f4"), 1, 2.0, rng)
            masked = member.masked(words)
            total += unpack(masked, numbers + EXTRA, form.modulus_bits)
            plain += words
        live = [name for name in self.members if name not in gone]
        collector.close_masking(frozenset(roster.numbers[name] for name in live))
        for name in live:
            number = roster.numbers[name]
            told = collector.told(number, 1)
            consent = self._timed(
                name, watched, "consent", lambda name=name, told=told: self.members[name].consent(told)
            )
            self._up(name, watched, sent(SecureConsent(1)) + sent(consent))
            collector.consent(number, consent.signature)
        quorum = collector.quorum(1)
        for name in live:
            opened = self._timed(name, watched, "opening", lambda name=name: self.members[name].reveal(quorum))
            self._up(name, watched, sent(opened))
            collector.reveal(roster.numbers[name], opened)
        began = time.process_time()
        for _ in collector.unmask(total):
            pass
        self.seconds["unmask small"] = time.process_time() - began
        return bool(np.array_equal(total, plain & np.uint32((1 << form.modulus_bits) - 1)))

    def _entry(self, name: str, keys: Any) -> Any:
        self.collector.restore_keys(name, keys)
        return self.collector.keys[name]

    def _up(self, name: str, watched: str, count: int) -> None:
        if name == watched:
            self.up += count

    def _timed(self, name: str, watched: str, what: str, act: Any) -> Any:
        self.once.timing = name == watched
        began = time.process_time()
        found = act()
        if name == watched:
            self.seconds[what] = time.process_time() - began
        self.once.timing = False
        return found


def measure(size: int, bits: int, share: float, numbers: int, small: int) -> dict[str, Any]:
    """Return one row of the table."""
    dropout = max(share, 0.1)
    watched = f"device-{size - 1:04}"
    with Once() as once:
        fleet = Fleet(size, bits, dropout, share, once)
        exact = fleet.run(small, watched)
    collector, form, device = fleet.collector, fleet.collector.form, fleet.members[watched]
    rng = np.random.default_rng(1)
    update = rng.normal(0, 0.1, numbers).astype("f4")
    began = time.process_time()
    words = form.encode(update, 1, 2.0, rng)
    quantise = time.process_time() - began
    began = time.process_time()
    masked = device.masked(words)
    masking = time.process_time() - began
    total, began = np.zeros(numbers + EXTRA, np.uint32), time.process_time()
    total += unpack(masked, numbers + EXTRA, form.modulus_bits)
    adding = time.process_time() - began
    adder, began = MaskAdder(), time.process_time()
    for key in range(8):
        adder.add(total, bytes([key]) * 32)
    a_mask = (time.process_time() - began) / 8
    began = time.process_time()
    for key in range(8):
        key_stream(bytes([key]) * 32, 4 * (numbers + EXTRA))
    stream = 8 * 4 * (numbers + EXTRA) / (time.process_time() - began)
    small_masks = collector.masks * a_mask * small / numbers
    opening = max(0.0, fleet.seconds["unmask small"] - small_masks)
    upload, survivors = uploaded(masked), len(collector.survivors)
    plain16, plain32 = uploaded(bytes(2 * numbers)), uploaded(bytes(4 * numbers))
    up = fleet.up + upload
    return {
        "devices": size, "dropout": share, "degree": fleet.plan.degree, "threshold": fleet.plan.threshold,
        "quorum": fleet.plan.quorum, "bits": form.modulus_bits, "up": up, "over_16_bit": up / plain16,
        "over_float32": up / plain32, "protocol_bytes": fleet.up,
        "device_seconds": quantise + masking + sum(v for k, v in fleet.seconds.items() if k != "unmask small"),
        "device_masking": masking, "survivors": survivors, "masks": collector.masks,
        "coordinator_adding": survivors * adding, "coordinator_unmasking": collector.masks * a_mask + opening,
        "mask_ms": 1000 * a_mask, "stream_gb_s": stream / 1e9, "exact": exact,
    }  # fmt: skip


def markdown(row: dict[str, Any]) -> str:
    """Return a row as docs/privacy.md has it."""
    seconds = row["coordinator_adding"] + row["coordinator_unmasking"]
    cells = [
        f"{row['devices']:,}", f"{row['dropout']:.0%}".replace("%", " %"), row["degree"], row["bits"],
        f"{row['up'] / 1e6:.2f}", f"{row['over_16_bit']:.2f}×", f"{row['over_float32']:.2f}×",
        f"{row['device_seconds']:.1f}", f"{seconds:.0f}", f"{row['masks']:,}", "yes" if row["exact"] else "NO",
    ]  # fmt: skip
    return "| " + " | ".join(map(str, cells)) + " |"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cohorts", type=int, nargs="+", default=[64, 256, 1024])
    parser.add_argument("--dropouts", type=float, nargs="+", default=[0.0, 0.1, 0.33])
    parser.add_argument("--bits", type=int, default=16, help="of one device's number, as Bonawitz 2017 has them")
    parser.add_argument("--numbers", type=int, default=FULL, help="of the full model")
    parser.add_argument("--small", type=int, default=2048, help="of the model that whole rounds are run with")
    parser.add_argument("--json", action="store_true", help="print one JSON line a row instead of the table")
    parser.add_argument("--markdown", action="store_true", help="print the rows of the table in docs/privacy.md")
    options = parser.parse_args()
    if not (options.json or options.markdown):
        print(f"{options.numbers:,} numbers of {options.bits} bits; up: all that a device sends in a round")
        print(
            "devices  silent  degree  threshold  word  up MB  ×16-bit  ×float32  device s  coordinator s"
            "  (adding + masks)  masks  exact"
        )
    for size in options.cohorts:
        for share in options.dropouts:
            row = measure(size, options.bits, share, options.numbers, options.small)
            if options.json:
                print(json.dumps(row), flush=True)
                continue
            if options.markdown:
                print(markdown(row), flush=True)
                continue
            seconds = row["coordinator_adding"] + row["coordinator_unmasking"]
            print(
                f"{size:7}  {share:6.0%}  {row['degree']:6}  {row['threshold']:9}  {row['bits']:4}"
                f"  {row['up'] / 1e6:5.2f}"
                f"  {row['over_16_bit']:6.2f}×  {row['over_float32']:7.2f}×  {row['device_seconds']:8.2f}"
                f"  {seconds:13.1f}  {row['coordinator_adding']:7.1f} + {row['coordinator_unmasking']:7.1f}"
                f"  {row['masks']:6}  {'yes' if row['exact'] else 'NO'}",
                flush=True,
            )
    if not options.json:
        print(f"one mask: {row['mask_ms']:.1f} ms; ChaCha20's stream alone: {row['stream_gb_s']:.2f} GB/s")


if __name__ == "__main__":
    main()
