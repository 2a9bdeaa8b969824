"""What the coordinator's SQLite files have in common: one connection, whole transactions, errors in our own words."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from edgewise_wire.errors import UnavailableError

BUSY_SECONDS = 10.0


class Database:
    """One SQLite file, with a schema that is made where it is not there.

    Args:
        path: of the file.
        schema: statements that do nothing the second time.
        what: the file's purpose, for whoever reads the error.
        pragmas: set before anything is read.

    Raises:
        UnavailableError: here and from `_transaction`, if the disk is full or the file cannot be used.
    """

    def __init__(self, path: Path, schema: str, what: str, pragmas: Mapping[str, str]) -> None:
        self.path = path
        self._what = what
        with self._translated():
            self._db = sqlite3.connect(path, isolation_level=None, timeout=BUSY_SECONDS)
            for name, value in pragmas.items():
                self._db.execute(f"PRAGMA {name}={value}")
            self._db.executescript(schema)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """All of what is done inside is on disk at the end, or nothing of it."""
        with self._translated():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:  # a full disk may have rolled it back already
                    self._db.execute("ROLLBACK")
                raise

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise UnavailableError(f"{self.path}: {self._what} cannot be used ({error})") from error
