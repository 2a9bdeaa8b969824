"""The SQLite file under the example store: how it is opened, its schema, and what its errors mean to the caller."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from edgewise_wire.errors import DataError, UnavailableError

BUSY_SECONDS: Final = 10.0  # how long one process waits for another's transaction
APPLICATION_ID: Final = 0x45574558  # "EWEX", so that another program's SQLite file is not taken for a store

# Script n turns a store of version n into version n + 1. Append only: stores of every version are out there.
MIGRATIONS: Final = (
    """
    CREATE TABLE example (
        id INTEGER PRIMARY KEY AUTOINCREMENT,  -- never reused, since it decides what is held out
        text TEXT NOT NULL,
        bytes INTEGER NOT NULL,
        held_out INTEGER NOT NULL,
        at REAL NOT NULL
    );
    CREATE INDEX example_age ON example (at, bytes);
    CREATE TABLE total (examples INTEGER NOT NULL, bytes INTEGER NOT NULL);  -- so that no `add` counts all rows
    INSERT INTO total VALUES (0, 0);
    CREATE TRIGGER example_in AFTER INSERT ON example
        BEGIN UPDATE total SET examples = examples + 1, bytes = bytes + new.bytes; END;
    CREATE TRIGGER example_out AFTER DELETE ON example
        BEGIN UPDATE total SET examples = examples - 1, bytes = bytes - old.bytes; END;
    CREATE TABLE setting (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    """,
    """
    CREATE TABLE cipher (key_file TEXT NOT NULL, probe BLOB NOT NULL);  -- one row while the texts are encrypted
    """,
)
SCHEMA_VERSION: Final = len(MIGRATIONS)

_PRAGMAS = (
    "PRAGMA synchronous = FULL",  # an acknowledged example survives a power cut
    "PRAGMA secure_delete = ON",  # deleted rows are overwritten with zeros
    "PRAGMA temp_store = MEMORY",  # VACUUM would else leave a copy of the texts in the temporary folder's blocks
)


def connect(path: Path) -> sqlite3.Connection:
    """Open or create the store at `path` and bring its schema up to date.

    Raises:
        DataError: if the file is no example store, or one of a newer version.
        UnavailableError: if it cannot be opened or written.
    """
    _create_private(path)
    with translated(path):
        db = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            _check(path, db)  # before the first write: another program's file stays as it was
            _log_ahead(db)
            for pragma in _PRAGMAS:
                db.execute(pragma)
            _migrate(path, db)
        except BaseException:
            db.close()
            raise
    return db


def _log_ahead(db: sqlite3.Connection) -> None:
    """Switch to a write-ahead log. SQLite waits for no other process there that opens a new file too, so we do."""
    until = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > until:
                raise
            time.sleep(0.02)


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into ours."""
    try:
        yield
    except sqlite3.OperationalError as error:
        reason = str(error)
        if "locked" in reason or "busy" in reason:
            reason = f"another process has held it for {BUSY_SECONDS:.0f} seconds; try again"
        elif "full" in reason:
            reason = "the disk is full; nothing was changed"
        raise UnavailableError(f"example store {path}: {reason}") from error
    except sqlite3.ProgrammingError as error:
        raise UnavailableError(f"example store {path}: {error}") from error
    except sqlite3.DatabaseError as error:
        raise DataError(f"example store {path}: not a store that can be read ({error})") from error


def _create_private(path: Path) -> None:
    """Create the file for its owner's eyes alone; SQLite gives its log files the same permissions."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise UnavailableError(f"example store {path}: cannot be opened ({error.strerror})") from error


def _check(path: Path, db: sqlite3.Connection) -> int:
    """Return the version of the schema; 0 is an empty file."""
    alone = not db.in_transaction
    if alone:
        db.execute("BEGIN")  # the three at one instant: another process may be creating the store
    [version] = db.execute("PRAGMA user_version").fetchone()
    [application] = db.execute("PRAGMA application_id").fetchone()
    [tables] = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if alone:
        db.execute("COMMIT")
    if application != APPLICATION_ID and (tables or version or application):
        raise DataError(f"example store {path}: an SQLite file of another program; name another file")
    if version > SCHEMA_VERSION:
        raise DataError(
            f"example store {path}: of version {version}, and this edgewise reads up to {SCHEMA_VERSION}: "
            "update edgewise; nothing was changed"
        )
    return int(version)


def _migrate(path: Path, db: sqlite3.Connection) -> None:
    """Run the missing scripts, all or none; a second process that opens a new file at once waits and finds it done."""
    if _check(path, db) == SCHEMA_VERSION:
        return
    db.execute("BEGIN IMMEDIATE")
    try:
        for script in MIGRATIONS[_check(path, db) :]:
            for statement in _statements(script):
                db.execute(statement)
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        db.execute("COMMIT")
    except BaseException:
        db.rollback()
        raise


def _statements(script: str) -> Iterator[str]:
    """Yield the statements one by one: `executescript` would commit the transaction that holds them together."""
    statement = ""
    for line in script.splitlines():
        statement += f"{line}\n"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    if statement.strip():
        yield statement
