"""What the coordinator must remember when it is killed: rounds, participants, reports, versions, in SQLite.

A report's row is written after its update was spooled and synced, and before it is acknowledged; its primary key is
what keeps an update from being counted twice.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgewise_coordinator.database import Database
from edgewise_coordinator.machine import Participant, Phase, Status
from edgewise_wire.errors import InputError
from edgewise_wire.messages import Kind

SCHEMA_VERSION = 1
WITHIN_NORM = "within_norm"  # a training report's only measure: 1 if it was asked, and its update was not clipped
_INTEGER_MAX = (1 << 63) - 1  # the largest that SQLite holds
SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS versions (
  version INTEGER PRIMARY KEY, parent INTEGER, round_id INTEGER, weights TEXT NOT NULL, created REAL NOT NULL,
  metrics TEXT NOT NULL DEFAULT '{}');
CREATE TABLE IF NOT EXISTS rounds (
  round_id INTEGER PRIMARY KEY, kind INTEGER NOT NULL, version INTEGER NOT NULL, phase TEXT NOT NULL,
  goal INTEGER NOT NULL DEFAULT 0, reason TEXT NOT NULL DEFAULT '', started REAL NOT NULL, ended REAL,
  summary TEXT NOT NULL DEFAULT '{}');
CREATE TABLE IF NOT EXISTS participants (
  round_id INTEGER, device TEXT, attempt INTEGER NOT NULL, status TEXT NOT NULL, reason TEXT NOT NULL DEFAULT '',
  PRIMARY KEY (round_id, device)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS reports (
  round_id INTEGER, device TEXT, attempt INTEGER NOT NULL, examples INTEGER NOT NULL, loss REAL NOT NULL,
  bytes INTEGER NOT NULL, file TEXT NOT NULL, measures TEXT NOT NULL DEFAULT '{}',
  PRIMARY KEY (round_id, device)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS buffered (
  round_id INTEGER, device TEXT, counted_in INTEGER NOT NULL, PRIMARY KEY (round_id, device)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS buffered_in ON buffered (counted_in);
CREATE TABLE IF NOT EXISTS secure (
  round_id INTEGER, kind TEXT, device TEXT, data BLOB NOT NULL, PRIMARY KEY (round_id, kind, device)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS heard (device TEXT PRIMARY KEY, at REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS devices (device TEXT PRIMARY KEY, last_round INTEGER NOT NULL) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Report:
    """One device's contribution to a round. `file` is the spooled update's name, empty for an evaluation.

    `round_id` is the round of its assignment: in a buffer it may be an earlier one than the round it counts in.
    """

    device: str
    attempt: int
    examples: int
    loss: float = 0.0
    bytes: int = 0
    file: str = ""
    measures: dict[str, float] = field(default_factory=dict)
    round_id: int = 0


@dataclass(frozen=True, slots=True)
class RoundRow:
    """A round as it was last recorded."""

    round_id: int
    kind: Kind
    version: int
    phase: Phase
    goal: int
    reason: str
    started: float


@dataclass(frozen=True, slots=True)
class VersionRow:
    """A model version: its number, the one it was made from, the round that made it, its weights' file and metrics."""

    version: int
    parent: int | None
    round_id: int | None
    weights: str
    created: float
    metrics: dict[str, float]


class StateStore(Database):
    """The coordinator's memory. Every method is one transaction; when it returns, its change is on disk.

    Raises:
        UnavailableError: from any method, if the disk is full or the file cannot be used.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, SCHEMA, "the coordinator's state", {"journal_mode": "WAL", "synchronous": "FULL"})
        found = int(self.meta("schema", str(SCHEMA_VERSION)))
        if found > SCHEMA_VERSION:
            raise InputError(f"{path}: written by a newer edgewise (schema {found}, this one knows {SCHEMA_VERSION})")

    def meta(self, key: str, value: str) -> str:
        """Return what is remembered under `key`; `value` is remembered if there is nothing yet."""
        with self._transaction() as db:
            db.execute("INSERT OR IGNORE INTO meta VALUES (?, ?)", (key, value))
            return str(db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()[0])

    def recall(self, key: str, default: str) -> str:
        """Return what was last remembered under `key`, or `default`."""
        row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return default if row is None else str(row[0])

    def remember(self, key: str, value: str) -> None:
        """Remember `value` under `key` in the place of what was there."""
        with self._transaction() as db:
            db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    # Rounds --------------------------------------------------------------------------------------------------------

    def begin_round(self, kind: Kind, version: int, now: float) -> int:
        """Record a new round in its selection phase and return its number."""
        with self._transaction() as db:
            cursor = db.execute(
                "INSERT INTO rounds (kind, version, phase, started) VALUES (?, ?, ?, ?)",
                (int(kind), version, Phase.SELECTION.value, now),
            )
            return int(cursor.lastrowid or 0)

    def round_number(self, round_id: int) -> int:
        """Return the how-manyth training round this is, or was begun before it; abandoned ones count."""
        query = "SELECT count(*) FROM rounds WHERE kind = ? AND round_id <= ?"
        return int(self._db.execute(query, (int(Kind.TRAIN), round_id)).fetchone()[0])

    def round_numbers(self) -> dict[int, int]:
        """Return the `round_number` of every training round by its id."""
        query = "SELECT round_id FROM rounds WHERE kind = ? ORDER BY round_id"
        return {found[0]: number for number, found in enumerate(self._db.execute(query, (int(Kind.TRAIN),)), 1)}

    def begun_at(self, round_id: int) -> float:
        """Return when a round was begun, in seconds since 1970."""
        return float(self._db.execute("SELECT started FROM rounds WHERE round_id = ?", (round_id,)).fetchone()[0])

    def configure_round(self, round_id: int, goal: int, participants: Iterable[Participant], number: int = 0) -> None:
        """Record who was selected, before anyone is told; called again when others are asked in their place.

        `number` is the training round's, 0 for an evaluation.
        """
        rows = [(round_id, p.device, p.attempt, p.status.value, p.reason) for p in participants]
        with self._transaction() as db:
            db.execute(
                "UPDATE rounds SET phase = ?, goal = ? WHERE round_id = ?", (Phase.CONFIGURATION.value, goal, round_id)
            )
            db.executemany("INSERT OR REPLACE INTO participants VALUES (?, ?, ?, ?, ?)", rows)
            if number:
                db.executemany("INSERT OR REPLACE INTO devices VALUES (?, ?)", [(r[1], number) for r in rows])

    def close_round(self, round_id: int) -> None:
        """Record that the round has its reports: from here on the same ones are aggregated, come what may."""
        with self._transaction() as db:
            db.execute("UPDATE rounds SET phase = ? WHERE round_id = ?", (Phase.CLOSING.value, round_id))

    def end_round(
        self,
        round_id: int,
        phase: Phase,
        reason: str,
        now: float,
        summary: dict[str, Any],
        made: VersionRow | None = None,
        measured: int | None = None,
    ) -> None:
        """Record the end of a round together with the version it made, or the one that it has measured."""
        with self._transaction() as db:
            db.execute(
                "UPDATE rounds SET phase = ?, reason = ?, ended = ?, summary = ? WHERE round_id = ?",
                (phase.value, reason, now, json.dumps(summary), round_id),
            )
            db.execute("DELETE FROM secure WHERE round_id = ?", (round_id,))
            if made is not None:
                self._insert_version(db, made)
            if measured is not None:
                db.execute("INSERT OR REPLACE INTO meta VALUES ('evaluated', ?)", (str(measured),))

    def unfinished_round(self, kind: Kind) -> RoundRow | None:
        """Return the round of this kind that was under way when the coordinator stopped.

        There are two of them only where a buffer waits behind an evaluation.
        """
        row = self._db.execute(
            "SELECT round_id, kind, version, phase, goal, reason, started FROM rounds "
            "WHERE kind = ? AND phase NOT IN ('committed', 'abandoned') ORDER BY round_id DESC LIMIT 1",
            (int(kind),),
        ).fetchone()
        return None if row is None else RoundRow(row[0], Kind(row[1]), row[2], Phase(row[3]), *row[4:])

    def has_ended(self, round_id: int) -> bool:
        """Return whether a round has ended, with a result or without."""
        row = self._db.execute("SELECT ended FROM rounds WHERE round_id = ?", (round_id,)).fetchone()
        return row is not None and row[0] is not None

    def is_committed(self, round_id: int) -> bool:
        """Return whether a round has ended with a result."""
        row = self._db.execute("SELECT phase FROM rounds WHERE round_id = ?", (round_id,)).fetchone()
        return row is not None and row[0] == Phase.COMMITTED.value

    def counted_reports(self) -> dict[str, int]:
        """Return in how many committed training rounds each device's report counted."""
        query = (
            "SELECT device, count(*) FROM reports JOIN rounds USING (round_id) WHERE kind = ? AND phase = ?"
            " GROUP BY device"
        )
        return dict(self._db.execute(query, (int(Kind.TRAIN), Phase.COMMITTED.value)))

    def participants(self, round_id: int) -> list[Participant]:
        """Return who was selected for a round; those who reported say so."""
        reported = {r.device for r in self.reports(round_id)}
        rows = self._db.execute(
            "SELECT device, attempt, status, reason FROM participants WHERE round_id = ? ORDER BY device", (round_id,)
        )
        return [
            Participant(d, a, Status.REPORTED if d in reported else Status(s), reason=why, round_id=round_id)
            for d, a, s, why in rows
        ]

    def at_work(self, oldest_version: int) -> list[Participant]:
        """Return the devices that still owe a report to training rounds from this version on, each once.

        A device's last assignment is the one that it can be at work on; whether it is nobody knows yet.
        """
        rows = self._db.execute(
            "SELECT p.device, p.attempt, p.round_id, r.version, x.device IS NULL FROM participants p "
            "JOIN rounds r USING (round_id) LEFT JOIN reports x USING (round_id, device) "
            "WHERE r.kind = ? AND r.version >= ? ORDER BY p.round_id",
            (int(Kind.TRAIN), oldest_version),
        )
        last = {device: (attempt, round_id, version, open_) for device, attempt, round_id, version, open_ in rows}
        return [
            Participant(device, attempt, round_id=round_id, version=version)
            for device, (attempt, round_id, version, open_) in sorted(last.items())
            if open_
        ]

    def version_of(self, round_id: int) -> int:
        """Return the version that a round's devices started from."""
        return int(self._db.execute("SELECT version FROM rounds WHERE round_id = ?", (round_id,)).fetchone()[0])

    def last_rounds(self) -> dict[str, int]:
        """Return the number of the last training round that each device was selected for."""
        return dict(self._db.execute("SELECT device, last_round FROM devices"))

    def remember_devices(self, names: Iterable[str], now: float) -> None:
        """Remember that these devices were heard of, at a time in seconds since 1970."""
        with self._transaction() as db:
            db.executemany("INSERT OR REPLACE INTO heard VALUES (?, ?)", [(name, now) for name in names])

    def heard_since(self, when: float) -> list[str]:
        """Return the devices that were heard of since then, and those of the last few rounds, by name."""
        rows = self._db.execute(
            "SELECT device FROM heard WHERE at >= ? UNION SELECT device FROM participants "
            "WHERE round_id > (SELECT coalesce(max(round_id), 0) FROM rounds) - 3 ORDER BY 1",
            (when,),
        )
        return [name for (name,) in rows]

    def last_round(self) -> int:
        """Return the number of the newest round, 0 before the first."""
        return int(self._db.execute("SELECT coalesce(max(round_id), 0) FROM rounds").fetchone()[0])

    def summary(self, round_id: int) -> dict[str, Any] | None:
        """Return what was recorded at the end of a round."""
        row = self._db.execute("SELECT summary FROM rounds WHERE round_id = ?", (round_id,)).fetchone()
        return json.loads(row[0]) if row is not None else None

    def counted_rounds(self, since: int = 0) -> dict[str, int]:
        """Return each device's last round after `since` whose report became part of a version."""
        rows = self._db.execute(
            "SELECT device, max(round_id) FROM reports JOIN rounds USING (round_id) "
            "WHERE kind = ? AND phase = ? AND round_id > ? GROUP BY device",
            (int(Kind.TRAIN), Phase.COMMITTED.value, since),
        )
        return dict(rows)

    def summaries(self, kind: Kind) -> list[dict[str, Any]]:
        """Return what was recorded at the end of each round of this kind, in order."""
        rows = self._db.execute(
            "SELECT summary FROM rounds WHERE kind = ? AND ended IS NOT NULL ORDER BY round_id", (kind,)
        )
        return [json.loads(row[0]) for row in rows]

    # Reports -------------------------------------------------------------------------------------------------------

    def add_report(self, round_id: int, report: Report, counted_in: int | None = None) -> bool:
        """Record a report; return whether it is new. Only then may it be acknowledged.

        `round_id` is the round of its assignment, `counted_in` the buffer that it goes into.
        """
        return self.add_reports([(round_id, report, counted_in)])[0]

    def add_reports(self, reports: Sequence[tuple[int, Report, int | None]]) -> list[bool]:
        """Record reports as `add_report` does, all in one transaction: a disk takes as long for one as for many."""
        with self._transaction() as db:
            return [self._add_report(db, *report) for report in reports]

    @staticmethod
    def _add_report(db: sqlite3.Connection, round_id: int, r: Report, counted_in: int | None) -> bool:
        cursor = db.execute(
            "INSERT OR IGNORE INTO reports VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (round_id, r.device, r.attempt, r.examples, r.loss, r.bytes, r.file, json.dumps(r.measures)),
        )
        if counted_in is not None and cursor.rowcount == 1:
            db.execute("INSERT INTO buffered VALUES (?, ?, ?)", (round_id, r.device, counted_in))
        return cursor.rowcount == 1

    def reports(self, round_id: int) -> list[Report]:
        """Return the reports that count in a round, sorted by device."""
        columns = "r.device, r.attempt, r.examples, r.loss, r.bytes, r.file, r.measures, r.round_id"
        rows = self._db.execute(
            f"SELECT {columns} FROM reports r LEFT JOIN buffered b USING (round_id, device) "  # noqa: S608 - fixed
            "WHERE r.round_id = ? AND b.device IS NULL UNION ALL "
            f"SELECT {columns} FROM buffered b JOIN reports r USING (round_id, device) WHERE b.counted_in = ? "
            "ORDER BY 1",
            (round_id, round_id),
        )
        return [Report(d, a, n, loss, size, file, json.loads(m), at) for d, a, n, loss, size, file, m, at in rows]

    def has_report(self, round_id: int, device: str, attempt: int) -> bool:
        """Return whether this very report is already safe."""
        if round_id > _INTEGER_MAX:  # a peer may ask about any number
            return False
        row = self._db.execute(
            "SELECT 1 FROM reports WHERE round_id = ? AND device = ? AND attempt = ?", (round_id, device, attempt)
        )
        return row.fetchone() is not None

    # Secure rounds -------------------------------------------------------------------------------------------------

    def add_secure(self, round_id: int, rows: Sequence[tuple[str, str, bytes]]) -> None:
        """Record messages of a secure round as (kind, device, bytes); of each kind a device's last one counts."""
        with self._transaction() as db:
            db.executemany("INSERT OR REPLACE INTO secure VALUES (?, ?, ?, ?)", [(round_id, *row) for row in rows])

    def secure(self, round_id: int) -> list[tuple[str, str, bytes]]:
        """Return what was recorded of a secure round."""
        rows = self._db.execute(
            "SELECT kind, device, data FROM secure WHERE round_id = ? ORDER BY kind, device", (round_id,)
        )
        return [(kind, device, bytes(data)) for kind, device, data in rows]

    def forget_secure(self, keep: int) -> None:
        """Forget every secure round but this one."""
        with self._transaction() as db:
            db.execute("DELETE FROM secure WHERE round_id <> ?", (keep,))

    # Versions ------------------------------------------------------------------------------------------------------

    def add_version(self, version: VersionRow) -> None:
        """Record a version that no round made (the first one)."""
        with self._transaction() as db:
            self._insert_version(db, version)

    def set_metrics(self, version: int, metrics: dict[str, float]) -> None:
        """Record what an evaluation found of a version."""
        with self._transaction() as db:
            db.execute("UPDATE versions SET metrics = ? WHERE version = ?", (json.dumps(metrics), version))

    def versions(self) -> list[VersionRow]:
        """Return every version, oldest first."""
        rows = self._db.execute(
            "SELECT version, parent, round_id, weights, created, metrics FROM versions ORDER BY version"
        )
        return [VersionRow(v, p, r, w, at, json.loads(m)) for v, p, r, w, at, m in rows]

    @staticmethod
    def _insert_version(db: sqlite3.Connection, v: VersionRow) -> None:
        db.execute(
            "INSERT INTO versions VALUES (?, ?, ?, ?, ?, ?)",
            (v.version, v.parent, v.round_id, v.weights, v.created, json.dumps(v.metrics)),
        )
