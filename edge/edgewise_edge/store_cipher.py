"""Encryption at rest of an example store: which key, whether it is the right one, and switching it on and off.

The table `cipher` has one row while the store is encrypted: where the key is, and a probe that the right key opens.
Sentences are sealed one by one; when they were written, how long they are and which are held out stays readable.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgewise_wire.errors import ConfigError, DataError, UnavailableError

if TYPE_CHECKING:
    from edgewise_wire.crypto.sealing import Sealer

PURPOSE = b"edgewise example 1"
PROBE = "edgewise"


class Cipher:
    """How the texts of one store stand in its file. Another process may switch it, so each transaction asks `of`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._key: str | None = None
        self._probe = b""
        self._sealer: Sealer | None = None

    def of(self, db: sqlite3.Connection) -> Cipher:
        """Look how the texts stand now.

        Raises:
            UnavailableError: if the key, or the package that uses it, is not there.
            ConfigError: if the key's file is open to others, or holds none.
            DataError: if the key is another store's.
        """
        row = db.execute("SELECT key_file, probe FROM cipher").fetchone()
        if row is None:
            self._key, self._sealer = None, None
        elif row != (self._key, self._probe) or self._sealer is None:
            self._sealer = self._checked(Path(row[0]), row[1])
            self._key, self._probe = row
        return self

    def for_purpose(self, db: sqlite3.Connection, purpose: bytes) -> Sealer | None:
        """Return what seals other things with the same key, `None` while the texts are not sealed.

        Raises:
            UnavailableError, ConfigError, DataError: as `of`.
        """
        if self.of(db)._sealer is None:
            return None
        sealer: Sealer = _sealing().Sealer(self._read(Path(str(self._key))), purpose)
        return sealer

    def stored(self, text: str) -> str | bytes:
        """Return a text as it stands in the file."""
        return text if self._sealer is None else self._sealer.seal(text)

    def text(self, number: int, stored: str | bytes) -> str:
        """Return a text as it was written.

        Raises:
            DataError: naming the example whose bytes have changed.
        """
        if self._sealer is None:
            return str(stored)
        try:
            return self._sealer.open(stored if isinstance(stored, bytes) else stored.encode())
        except DataError:
            raise DataError(
                f"example store {self._path}: example {number} has changed on the disk; forget it: --id {number}"
            ) from None

    def _checked(self, key_file: Path, probe: bytes) -> Sealer:
        sealing = _sealing()
        sealer: Sealer = sealing.Sealer(self._read(key_file), PURPOSE)
        try:
            sealer.open(probe)
        except DataError:
            raise DataError(
                f"example store {self._path}: {key_file} is not the key that it was encrypted with"
            ) from None
        return sealer

    def _read(self, key_file: Path) -> bytes:
        found: bytes = _sealing().read_key(key_file)
        return found


def key_file(db: sqlite3.Connection) -> Path | None:
    """Return where the key of a store is, `None` for a store that is not encrypted."""
    row = db.execute("SELECT key_file FROM cipher").fetchone()
    return None if row is None else Path(row[0])


def encrypt(db: sqlite3.Connection, where: Path) -> None:
    """Seal every text with the key at `where`, which is made if it is not there; inside the caller's transaction.

    Raises:
        ConfigError: if the store is encrypted already, or the key's file cannot be used.
        UnavailableError: if the key cannot be read or made.
    """
    if (held := key_file(db)) is not None:
        raise ConfigError(f"the examples are encrypted already, with the key {held}")
    sealer = _sealing().Sealer(_sealing().make_key(where), PURPOSE)
    _rewrite(db, lambda _, stored: sealer.seal(str(stored)))
    db.execute("INSERT INTO cipher VALUES (?, ?)", (str(where), sealer.seal(PROBE)))
    leave_traces(db)


def decrypt(db: sqlite3.Connection, cipher: Cipher) -> None:
    """Write every text as it is again; inside the caller's transaction. The key stays where it is."""
    if key_file(db) is None:
        raise ConfigError("the examples are not encrypted")
    _rewrite(db, cipher.of(db).text)
    db.execute("DELETE FROM cipher")


def leave_traces(db: sqlite3.Connection) -> None:
    """Note, in the transaction that removes texts, that their bytes are in the file until it has been shrunk."""
    db.execute("INSERT OR REPLACE INTO setting VALUES ('traces', '1')")


def has_traces(db: sqlite3.Connection) -> bool:
    """Return whether a process ended between removing texts and shrinking the file."""
    return db.execute("SELECT 1 FROM setting WHERE name = 'traces'").fetchone() is not None


def no_traces(db: sqlite3.Connection) -> None:
    """The file was shrunk."""
    db.execute("DELETE FROM setting WHERE name = 'traces'")


def _rewrite(db: sqlite3.Connection, change: Callable[[int, Any], str | bytes]) -> None:
    for (number,) in db.execute("SELECT id FROM example").fetchall():
        [stored] = db.execute("SELECT text FROM example WHERE id = ?", (number,)).fetchone()
        db.execute("UPDATE example SET text = ? WHERE id = ?", (change(number, stored), number))


def _sealing() -> Any:
    try:
        from edgewise_wire.crypto import sealing
    except ModuleNotFoundError as error:
        raise UnavailableError(
            f"encrypted examples need the package {error.name!r}: pip install 'edgewise[device]'"
        ) from error
    return sealing
