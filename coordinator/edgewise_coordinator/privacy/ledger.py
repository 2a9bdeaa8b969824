"""What was released, and the keys of the noise that may not be drawn twice: `privacy.sqlite` in the run's directory.

A release has its row, with a fresh key, before any of its noise is computed; so it counts as spent before it can leave,
and a process that is killed after that makes the very same noise again. The key is erased when the version that was
made with it is recorded: from then on nobody can take the noise out again. The file is SQLite's with secure_delete and
a rollback journal, since a write-ahead log would keep copies of what was erased.
"""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from typing import Any, NamedTuple

from edgewise_coordinator.database import Database
from edgewise_wire.errors import ConfigError, InputError, UnavailableError

SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS releases (
  step INTEGER PRIMARY KEY, round_id INTEGER NOT NULL UNIQUE, key BLOB, clip REAL NOT NULL, noise REAL NOT NULL,
  reports INTEGER NOT NULL, asked INTEGER NOT NULL, next_clip REAL);
"""
WHAT = "the record of what was released"
PRAGMAS = {
    "journal_mode": "DELETE",
    # EXTRA syncs the folder after the journal is deleted: with FULL a power cut can bring a committed row's journal
    # back, and the release would count as not spent.
    "synchronous": "EXTRA",
    "secure_delete": "ON",
}
COLUMNS = "step, round_id, key, clip, noise, reports, asked, next_clip"


class Release(NamedTuple):
    """One noised sum. `key` is None once it is erased, and where devices made the noise; `asked` devices were asked."""

    step: int
    round_id: int
    key: bytes | None
    clip: float
    noise: float
    reports: int
    asked: int
    next_clip: float | None


class Ledger(Database):
    """The record of one run's releases. Every method is one transaction; when it returns, its change is on disk.

    Raises:
        UnavailableError: from any method, if the disk is full or the file cannot be used.
    """

    def __init__(self, path: Path) -> None:
        try:
            path.touch(mode=0o600)  # before SQLite makes it with the mode of any file
        except OSError as error:
            raise UnavailableError(f"{path}: {WHAT} cannot be used ({error})") from error
        super().__init__(path, SCHEMA, WHAT, PRAGMAS)

    def terms(self) -> dict[str, Any]:
        """Return the terms that were settled, empty before."""
        with self._translated():
            row = self._db.execute("SELECT value FROM meta WHERE key = 'terms'").fetchone()
        return dict(json.loads(row[0])) if row is not None else {}

    def settle_terms(self, terms: dict[str, Any]) -> None:
        """Record a run's terms; they hold from then on.

        Raises:
            ConfigError: if one of them is not what it was before.
        """
        with self._transaction() as db:
            db.execute("INSERT OR IGNORE INTO meta VALUES ('terms', ?)", (json.dumps(terms),))
        found = self.terms()
        for name in [*terms, *(found.keys() - terms.keys())]:
            value = terms.get(name)
            if value != found.get(name):
                raise ConfigError(
                    f"{self.path.parent}: this run's {name.replace('_', ' ')} is {found.get(name)}, not {value}: a"
                    " guarantee is about one mechanism; go on with the same, or choose a new --dir"
                )

    def name_of_run(self) -> int:
        """Return a random number below 2^64 that tells this run from others, the same whenever it is asked."""
        with self._transaction() as db:
            db.execute("INSERT OR IGNORE INTO meta VALUES ('run', ?)", (str(secrets.randbits(64)),))
            return int(db.execute("SELECT value FROM meta WHERE key = 'run'").fetchone()[0])

    def begin(self, round_id: int, key: bytes | None, clip: float, noise: float, reports: int, asked: int) -> Release:
        """Return a round's release, recorded now if it was not before: it counts as spent from here on."""
        with self._transaction() as db:
            step = int(db.execute("SELECT coalesce(max(step), 0) + 1 FROM releases").fetchone()[0])
            db.execute(
                "INSERT OR IGNORE INTO releases VALUES (?, ?, ?, ?, ?, ?, ?, NULL)",
                (step, round_id, key, clip, noise, reports, asked),
            )
        found = self.of_round(round_id)
        if found is None:
            raise InputError(f"{self.path}: round {round_id} has no release")
        return found

    def of_round(self, round_id: int) -> Release | None:
        """Return a round's release."""
        return self._one("WHERE round_id = ?", round_id)

    def last(self) -> Release | None:
        """Return the newest release."""
        return self._one("ORDER BY step DESC LIMIT 1")

    def set_next_clip(self, step: int, norm: float) -> None:
        """Record which clipping norm follows from a release."""
        with self._transaction() as db:
            db.execute("UPDATE releases SET next_clip = ? WHERE step = ?", (norm, step))

    def erase_key(self, step: int) -> None:
        """Forget the key of a release whose version is recorded."""
        with self._transaction() as db:
            db.execute("UPDATE releases SET key = NULL WHERE step = ?", (step,))

    def releases(self) -> list[Release]:
        """Return all of them, oldest first."""
        return [Release(*row) for row in self._db.execute(f"SELECT {COLUMNS} FROM releases ORDER BY step")]  # noqa: S608

    def _one(self, clause: str, *values: object) -> Release | None:
        with self._translated():
            row = self._db.execute(f"SELECT {COLUMNS} FROM releases {clause}", values).fetchone()  # noqa: S608 - fixed
        return None if row is None else Release(*row)
