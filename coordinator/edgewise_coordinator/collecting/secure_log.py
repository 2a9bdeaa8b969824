"""What a secure round must remember when its coordinator is killed: every message that it took, every list it fixed."""

from __future__ import annotations

from edgewise_coordinator.publisher import BlobPublisher
from edgewise_coordinator.state import StateStore
from edgewise_wire.blobs import chunk_count, make_ref
from edgewise_wire.codec import decode, encode
from edgewise_wire.messages import (
    Body,
    Envelope,
    SecureConsent,
    SecureKeys,
    SecurePledge,
    SecureReveal,
    SecureShares,
)
from edgewise_wire.secure.collector import Collector
from edgewise_wire.secure.roster import Roster

NOTE = "offered-roster"  # which roster is on the broker: hash:chunks
FIXED = ("roster", "sharers", "survivors")


class SecureLog:
    """Records one round's messages, a transaction for as many as came in together, and replays them.

    The roster goes to the broker as a blob; which one is there is noted, so that none is left behind.
    """

    def __init__(self, store: StateStore, publisher: BlobPublisher, fleet: str, round_id: int) -> None:
        self._store = store
        self._publisher = publisher
        self._fleet = fleet
        self._round = round_id
        self._known: dict[tuple[str, str], bytes] = {}
        self._rows: list[tuple[str, str, bytes]] = []
        self._offered = b""
        store.forget_secure(keep=round_id)

    def note(self, device: str, body: Body) -> None:
        """Note what a device said, once; `flush` records it."""
        key, data = (type(body).__name__, device), encode(Envelope(self._fleet, self._round, 0, body))
        if self._known.get(key) != data:
            self._known[key] = data
            self._rows.append((*key, data))

    def flush(self) -> None:
        """Record what was noted. Raises UnavailableError if the disk refuses; it stays noted."""
        if self._rows:
            self._store.add_secure(self._round, self._rows)
            self._rows = []

    def keep(self, what: str, data: bytes) -> None:
        """Record a list that was fixed: `roster`, `sharers` or `survivors`."""
        self._store.add_secure(self._round, [(what, "", data)])

    def offer(self, roster: bytes) -> None:
        """Put the roster on the broker."""
        ref = make_ref(roster)
        self._clear_left_behind(ref.hash)
        self._store.remember(NOTE, f"{ref.hash.hex()}:{chunk_count(ref)}")
        self._publisher.offer(ref, roster)
        self._offered = ref.hash

    def end(self) -> None:
        """Take the roster off the broker, and forget the round."""
        if self._offered:
            self._publisher.withdraw(self._offered)
            self._store.remember(NOTE, "")
        self._store.forget_secure(keep=0)

    def replay(self, collector: Collector) -> None:
        """Give a fresh collector what was recorded of its round."""
        rows = self._store.secure(self._round)
        fixed = {kind: data for kind, _, data in rows if kind in FIXED}
        said = [(device, decode(data).body) for kind, device, data in rows if kind not in FIXED]
        self._known = {(kind, device): data for kind, device, data in rows if kind not in FIXED}
        for device, body in said:
            if isinstance(body, SecureKeys):
                collector.restore_keys(device, body)
        if "roster" in fixed:
            collector.roster = Roster.from_bytes(fixed["roster"])
            self.offer(fixed["roster"])
        self._replay(collector, said, SecureShares)
        if "sharers" in fixed:
            collector.close_sharing(collector.members(fixed["sharers"]))
        self._replay(collector, said, SecurePledge)
        if "survivors" in fixed:
            collector.close_masking(collector.members(fixed["survivors"]))
        self._replay(collector, said, SecureConsent)
        self._replay(collector, said, SecureReveal)

    def _replay(self, collector: Collector, said: list[tuple[str, Body]], kind: type) -> None:
        for device, body in said:
            number = collector.number(device)
            if not isinstance(body, kind) or number is None:
                continue
            if isinstance(body, SecureShares):
                collector.share(number, body.data)
            elif isinstance(body, SecurePledge):
                collector.pledge(number, body.signature)
            elif isinstance(body, SecureConsent):
                collector.consent(number, body.signature)
            elif isinstance(body, SecureReveal):
                collector.reveal(number, body)

    def _clear_left_behind(self, offered: bytes) -> None:
        noted = self._store.recall(NOTE, "")
        if noted and noted.split(":")[0] != offered.hex():
            blob_hash, chunks = noted.split(":")
            self._publisher.clear(bytes.fromhex(blob_hash), int(chunks))
