"""The participation log: what was asked of this device, what it sent, and when. Its owner's record, on its own disk."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple

from edgewise_edge.policy import offered_clipping, offered_noise
from edgewise_wire.errors import DataError, UnavailableError
from edgewise_wire.messages import Assignment, Kind

SCHEMA_VERSION = 4
ENTRIES_MAX = 20_000  # 20 rounds a day for almost three years; about 5 MB


class Outcome(str, Enum):
    """How a participation ended."""

    WORKING = "working"
    REPORTED = "reported"
    REFUSED = "refused"
    DECLINED = "declined"
    ABORTED = "aborted"
    SUPERSEDED = "superseded"
    EXPIRED = "expired"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Entry:
    """One participation: times in seconds since the epoch, `seconds` the time computed, `norm` the update's L2 norm.

    Of a private round `number` is that of its release in the `run`, `clip` the norm that the update was clipped to and
    `noise` the promised multiplier.
    """

    digest: bytes
    round: int
    attempt: int
    kind: str
    outcome: Outcome
    reason: str = ""
    asked_epochs: int = 0
    asked_learning_rate: float | None = 0.0
    asked_examples: int = 0
    weights_hash: str = ""
    began: float = 0.0
    ended: float | None = None
    examples: int = 0
    steps: int = 0
    loss: float | None = None
    norm: float | None = None
    seconds: float = 0.0
    bytes_down: int = 0
    bytes_up: int = 0
    bytes_metered: int = 0
    run: str = ""
    number: int = 0
    clip: float = 0.0
    noise: float = 0.0


class Used(NamedTuple):
    """What participations took together: epochs begun, seconds computed, bytes both ways, those on metered networks."""

    epochs: int = 0
    seconds: float = 0.0
    traffic: int = 0
    metered: int = 0


_COLUMNS = tuple(Entry.__dataclass_fields__)
_REAL = ("asked_learning_rate", "loss", "norm", "ended")  # SQLite keeps a NaN as NULL
_TYPES = {"digest": "BLOB PRIMARY KEY"} | dict.fromkeys(_REAL, "REAL")
_INTEGER_MAX = (1 << 63) - 1  # the largest that SQLite holds; a peer may send a larger round
_TABLE = ", ".join(f"{name} {_TYPES.get(name, 'NOT NULL')}" for name in _COLUMNS)
ADDED = ((2, "bytes_metered", "0"), (3, "run", "''"), (3, "number", "0"), (3, "clip", "0"), (3, "noise", "0"))
"""Columns that a later version has, and what they are in the rows of an earlier one."""
TAKEN = "run TEXT NOT NULL, number INTEGER NOT NULL, PRIMARY KEY (run, number)"
"""The releases of private runs that this device took part in: kept for ever, whatever happens to older rows."""
_FIGURES = ("examples", "steps", "loss", "norm", "seconds")


class ParticipationLog:
    """A SQLite table with one row per assignment received, by the assignment's digest.

    Raises:
        DataError: if the file is no participation log, or one from a newer version.
        UnavailableError: if it cannot be opened or written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._db = sqlite3.connect(path, isolation_level=None, timeout=30.0)
            # EXTRA syncs the folder once the journal is deleted: with FULL a power cut may undo what was committed.
            self._db.execute("PRAGMA synchronous=EXTRA")
            (version,) = self._db.execute("PRAGMA user_version").fetchone()
            if version > SCHEMA_VERSION:
                raise DataError(f"{path}: written by a newer edgewise (version {version}); update this one")
            self._db.execute("BEGIN IMMEDIATE")  # all of a change of version, or nothing of it
            self._db.execute(f"CREATE TABLE IF NOT EXISTS participation ({_TABLE})")
            for since, name, default in ADDED if version else ():
                if version < since:  # CREATE leaves an older version's table as it was
                    self._db.execute(f"ALTER TABLE participation ADD COLUMN {name} NOT NULL DEFAULT {default}")
            self._db.execute("CREATE INDEX IF NOT EXISTS by_time ON participation (began)")
            self._db.execute(f"CREATE TABLE IF NOT EXISTS taken ({TAKEN}) WITHOUT ROWID")
            if version == 3:  # the first whose rows have numbers
                self._db.execute(
                    "INSERT OR IGNORE INTO taken SELECT run, number FROM participation"
                    " WHERE kind='train' AND number>0 AND outcome<>?",
                    [Outcome.DECLINED.value],
                )
            self._db.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
            self._db.execute("COMMIT")
        except sqlite3.OperationalError as error:
            raise UnavailableError(f"{path}: cannot be opened ({error})") from error
        except sqlite3.DatabaseError as error:
            raise DataError(f"{path}: not a participation log ({error}); move it away to begin a new one") from error

    def begin(
        self, digest: bytes, round_number: int, asked: Assignment, when: float, kept: Outcome, why: str = ""
    ) -> None:
        """Note an assignment: accepted (`kept` is WORKING) or not (`why` says the reason)."""
        kind = Kind(asked.kind).name.lower() if asked.kind in tuple(Kind) else str(asked.kind)
        entry = Entry(
            digest, round_number, asked.attempt, kind, kept, why, asked.epochs, asked.learning_rate, asked.max_examples,
            asked.weights.hash.hex(), when, None if kept is Outcome.WORKING else when,
            run=f"{asked.privacy.run:016x}", number=asked.privacy.number, clip=offered_clipping(asked),
            noise=offered_noise(asked),
        )  # fmt: skip
        values = [_plain(getattr(entry, name)) for name in _COLUMNS]
        marks = ", ".join("?" * len(_COLUMNS))
        if entry.kind == "train" and entry.number and kept is not Outcome.DECLINED:
            self._write("INSERT OR IGNORE INTO taken VALUES (?, ?)", [entry.run, _plain(entry.number)])
        self._write(f"INSERT OR REPLACE INTO participation VALUES ({marks})", values)  # noqa: S608 - fixed names
        self._write(
            "DELETE FROM participation WHERE began < (SELECT began FROM participation ORDER BY began DESC"
            " LIMIT 1 OFFSET ?)",
            [ENTRIES_MAX],
        )

    def add_traffic(self, digest: bytes, down: int, up: int, *, metered: bool = False) -> None:
        """Add bytes that were moved for an assignment."""
        self._write(
            "UPDATE participation SET bytes_down=bytes_down+?, bytes_up=bytes_up+?, bytes_metered=bytes_metered+?"
            " WHERE digest=?",
            [down, up, (down + up) if metered else 0, digest],
        )

    def add_seconds(self, digest: bytes, seconds: float) -> None:
        """Add time that was computed for an assignment, whatever becomes of it."""
        self._write("UPDATE participation SET seconds=seconds+? WHERE digest=?", [seconds, digest])

    def used(self, since: float, until: float) -> Used:
        """Return what the participations took that ended after `since`, or run still, and began before `until`."""
        [row] = self._db.execute(
            "SELECT coalesce(sum(CASE WHEN kind='train' AND (seconds>0 OR steps>0) THEN asked_epochs END), 0),"
            " coalesce(sum(seconds), 0), coalesce(sum(bytes_down + bytes_up), 0), coalesce(sum(bytes_metered), 0)"
            " FROM participation WHERE (ended IS NULL OR ended > ?) AND began < ?",
            [since, until],
        )
        return Used(*row)

    def note(self, digest: bytes, figures: Mapping[str, float]) -> None:
        """Add figures to an assignment's row: examples, steps, loss, norm, seconds."""
        names = [name for name in _FIGURES if name in figures]
        sets = ", ".join(f"{name}=?" for name in names)
        values = [*(figures[name] for name in names), digest]
        self._write(f"UPDATE participation SET {sets} WHERE digest=?", values)  # noqa: S608 - fixed names

    def end(self, digest: bytes, when: float, outcome: Outcome, reason: str = "") -> None:
        """Note how it ended."""
        self._write(
            "UPDATE participation SET outcome=?, reason=?, ended=? WHERE digest=?",
            [outcome.value, reason, when, digest],
        )

    def close_open(self, digest: bytes, when: float) -> None:
        """End every row but this one that an earlier process left open."""
        self._write(
            "UPDATE participation SET outcome=?, reason=?, ended=? WHERE outcome=? AND digest<>?",
            [Outcome.FAILED.value, "the process ended in the middle of it", when, Outcome.WORKING.value, digest],
        )

    def find(self, digest: bytes) -> Entry | None:
        """Return the row of an assignment, if it was ever received."""
        found = self._select("WHERE digest=?", [digest])
        return found[0] if found else None

    def entries(self, limit: int = 100) -> list[Entry]:
        """Return the latest rows, newest first."""
        return self._select("ORDER BY began DESC, rowid DESC LIMIT ?", [limit])

    def last_report(self) -> float | None:
        """Return when the last participation ended whose report was accepted (seconds since the epoch)."""
        (when,) = self._db.execute(
            "SELECT max(ended) FROM participation WHERE outcome=?", [Outcome.REPORTED.value]
        ).fetchone()
        return None if when is None else float(when)

    def last_number(self, run: int) -> int:
        """Return the number of the last round of a run that was taken, whatever became of it; 0 for none."""
        (number,) = self._db.execute(
            "SELECT coalesce(max(number), 0) FROM taken WHERE run=?", [f"{run:016x}"]
        ).fetchone()
        return int(number)

    def rounds_taken(self, run: int, besides: int) -> int:
        """Return how many rounds of a run were taken, whatever became of them, the one numbered `besides` left out."""
        (count,) = self._db.execute(
            "SELECT count(*) FROM taken WHERE run=? AND number<>?", [f"{run:016x}", _plain(besides)]
        ).fetchone()
        return int(count)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def _select(self, clause: str, values: Sequence[object]) -> list[Entry]:
        rows = self._db.execute(f"SELECT {', '.join(_COLUMNS)} FROM participation {clause}", values)  # noqa: S608
        return [_entry(dict(zip(_COLUMNS, row, strict=True))) for row in rows]

    def _write(self, statement: str, values: Sequence[object]) -> None:
        try:
            self._db.execute(statement, values)
        except sqlite3.OperationalError as error:
            raise UnavailableError(f"{self._path}: cannot be written ({error})") from error


def _entry(row: dict[str, Any]) -> Entry:
    return Entry(**row | {"outcome": Outcome(row["outcome"])})


def _plain(value: object) -> object:
    if isinstance(value, int):
        return min(value, _INTEGER_MAX)
    return value.value if isinstance(value, Outcome) else value
