"""The assignment in work, as it stands on disk: what a restarted process needs to go on where it was.

    session/assignment   the assignment as it came: an encoded `Envelope`; there from acceptance to the session's end
    session/notes.json   when it was received (seconds since the epoch), how often training began
    session/update       the finished update, encoded as it will be sent
    session/secure       in a secure round, what the device has bound itself to; session/masked the masked update
    session/report       the encoded `UploadRequest` or `EvaluationReport`; written last, so it vouches for the update

The law: a report is announced only after it and its update are on disk and synced, and from then on the device says
these bytes and no others for this (round, attempt).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from edgewise_edge.home import read_json, write_json
from edgewise_wire.codec import decode, encode
from edgewise_wire.errors import ProtocolError
from edgewise_wire.files import sync_directory, write_durably
from edgewise_wire.messages import Assignment, Envelope, EvaluationReport, UploadRequest

Report: TypeAlias = "UploadRequest | EvaluationReport"


@dataclass(frozen=True, slots=True)
class Work:
    """An assignment as it came, and when (seconds since the epoch)."""

    fleet: str
    round: int
    message_id: int
    asked: Assignment
    received: float

    def same_as(self, other: Work) -> bool:
        """Return whether both ask for the same, though the time left for it may have been counted anew."""
        one, two = (replace(work.asked, deadline=0.0, signature=b"", blobs_url="") for work in (self, other))
        return self.round == other.round and one == two

    @property
    def rank(self) -> tuple[int, int]:
        """Round, then attempt: of two assignments the higher is the newer."""
        return self.round, self.asked.attempt

    def to_bytes(self) -> bytes:
        """Return the message as it came."""
        return encode(Envelope(self.fleet, self.round, self.message_id, self.asked))

    @property
    def digest(self) -> bytes:
        """The SHA-256 of the message, its id included: only one delivered twice has the same."""
        return hashlib.sha256(self.to_bytes()).digest()

    def __str__(self) -> str:
        return f"round {self.round}, attempt {self.asked.attempt}"


class SessionFolder:
    """The files of the assignment in work."""

    def __init__(self, folder: Path, fleet: str) -> None:
        self._folder = folder
        self._fleet = fleet
        self._assignment = folder / "assignment"
        self._notes = folder / "notes.json"
        self._report = folder / "report"
        self._secure = folder / "secure"
        self.update = folder / "update"
        self.masked = folder / "masked"

    def load(self) -> tuple[Work, Report | None] | None:
        """Return the assignment in work and its report if that is finished; whatever is torn or foreign is cleared."""
        found = _read(self._assignment, self._fleet)
        if found is None or not isinstance(found.body, Assignment):
            self.clear()
            return None
        received = read_json(self._notes).get("received")
        received = received if isinstance(received, float) else 0.0
        work = Work(found.fleet, found.round, found.message_id, found.body, received)
        return work, self._load_report(work)

    def save(self, work: Work) -> None:
        """Keep an accepted assignment."""
        self.clear()
        write_json(self._notes, {"received": work.received, "begun": 0})
        write_durably(self._assignment, work.to_bytes())

    def save_update(self, data: bytes) -> None:
        """Keep a finished update."""
        write_durably(self.update, data)

    def secure_notes(self) -> bytes:
        """Return what was bound in a secure round, empty for nothing yet."""
        return self._secure.read_bytes() if self._secure.exists() else b""

    def save_secure(self, data: bytes) -> None:
        """Keep what was bound."""
        if data != self.secure_notes():
            write_durably(self._secure, data)

    def save_masked(self, data: bytes) -> None:
        """Keep a masked update."""
        write_durably(self.masked, data)

    def save_report(self, work: Work, report: Report) -> None:
        """Keep a finished report; its update must be there already."""
        write_durably(self._report, encode(Envelope(self._fleet, work.round, 0, report)))

    def count_begin(self) -> int:
        """Note that training begins and return how often it has, since a graph may kill the process."""
        notes = read_json(self._notes)
        begun = int(notes.get("begun", 0)) + 1
        write_json(self._notes, notes | {"begun": begun})
        return begun

    def clear(self) -> None:
        """Forget it all, the assignment first: without it the rest means nothing."""
        for path in (self._assignment, *self._folder.iterdir()):
            if path.exists():
                path.unlink()
                if path == self._assignment:
                    sync_directory(self._folder)

    def _load_report(self, work: Work) -> Report | None:
        found = _read(self._report, self._fleet)
        if found is None or found.round != work.round or not isinstance(found.body, UploadRequest | EvaluationReport):
            return None
        if found.body.attempt != work.asked.attempt:
            return None
        if isinstance(found.body, UploadRequest) and not self._update_is_whole(found.body):
            return None
        return found.body

    def _update_is_whole(self, request: UploadRequest) -> bool:
        try:
            with self.update.open("rb") as file:
                found = hashlib.sha256()
                while block := file.read(1 << 16):
                    found.update(block)
        except OSError:
            return False
        return found.digest() == request.update.hash


def _read(path: Path, fleet: str) -> Envelope | None:
    try:
        found = decode(path.read_bytes())
    except (OSError, ProtocolError):
        return None
    return found if found.fleet == fleet else None
