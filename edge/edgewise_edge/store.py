"""The device's own examples: one SQLite file that only this device reads.

Two processes may use it at once (the agent trains while `edgewise device add` writes): every operation is one short
transaction, WAL lets readers and the writer pass each other, and a second writer waits its turn.

`synchronous` is FULL: an example whose `add` returned survives a power cut, at the price of one sync per `add`, which a
device that is typed on pays easily (`add_many` pays it once).
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, TypeAlias

from edgewise_edge import store_cipher
from edgewise_edge.store_cipher import Cipher
from edgewise_edge.store_file import connect, translated
from edgewise_wire.errors import ConfigError, DataError, RefusedError, UnavailableError

if TYPE_CHECKING:
    from edgewise_wire.crypto.sealing import Sealer  # `cryptography`, which a device without encryption may not have

Clock: TypeAlias = Callable[[], float]
"""Seconds since 1970, as `time.time` gives them."""

HELD_OUT_EVERY: Final = 5  # by insertion number: ids 5, 10, 15, ... are never trained on
TEXT_CHARACTERS: Final = 65_536  # a record of a small image; a next-word model reads the first 20 words


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a store may hold; the oldest examples go first. `None` means no limit of that kind.

    `age` is in seconds by the store's clock, `bytes` counts the UTF-8 of the texts.
    """

    age: float | None = None
    count: int | None = 100_000
    bytes: int | None = 16 * 1024 * 1024  # what VACUUM may need in memory on a small Pi

    def __post_init__(self) -> None:
        for name in ("age", "count", "bytes"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ConfigError(f"store limit {name!r}: expected more than 0 or no limit, got {value}")


@dataclass(frozen=True, slots=True)
class Example:
    """One stored text: `at` is when it was written (seconds since 1970), `held_out` whether it only measures."""

    id: int
    text: str
    held_out: bool
    at: float


Examples: TypeAlias = list[Example]
Texts: TypeAlias = list[str]


class ExampleStore:
    """Examples in the SQLite file at `path`, which is created readable by its owner alone.

    `limits` may be a function, asked whenever they are applied. `clock` stamps examples; `date` decides whether one is
    too old, and while it returns `None` none is: a clock that was set wrong must not cost its owner anything.

    Every fifth example by insertion number is held out (it measures and is never trained on) unless `add` says
    otherwise; numbers are never used twice, so forgetting does not move an example from one side to the other.
    A store may be used by several threads and several processes.

    Raises:
        DataError: if the file is no example store, or comes from a newer version of edgewise.
        UnavailableError: if the file cannot be opened, or another process holds it for `BUSY_SECONDS`.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder, ExampleStore(Path(folder) / "examples.db") as store:
        ...     number = store.add("see you at seven")
        ...     number, store.count(), store.texts(held_out=False)
        (1, 1, ['see you at seven'])
    """

    def __init__(
        self, path: Path | str, *, limits: Limits | Callable[[], Limits] | None = None,
        clock: Clock = time.time, date: Callable[[], float | None] | None = None,
    ) -> None:  # fmt: skip
        self.path = Path(path)
        self._limits = limits or Limits()
        self._clock = clock
        self._date = date or clock
        self._lock = threading.RLock()
        self._cipher = Cipher(self.path)
        self._db = connect(self.path)
        if store_cipher.has_traces(self._db):  # a process ended before it had shrunk the file
            self._shrink()

    def add(self, text: str, *, held_out: bool | None = None, at: float | None = None) -> int:
        """Store one text and return its number.

        Args:
            text: up to `TEXT_CHARACTERS` characters; blanks at both ends go.
            held_out: only for measuring; `None` holds out every fifth by number.
            at: when it was written, seconds since 1970; `None` is now.

        Raises:
            DataError: if the text is empty or too long.
            RefusedError: if the store is paused.
            UnavailableError: if the disk is full or another process blocks the store.
        """
        return self.add_many([text], held_out=held_out, at=at)[0]

    def add_many(self, texts: Iterable[str], *, held_out: bool | None = None, at: float | None = None) -> Sequence[int]:
        """Store several texts in one transaction, all or none, and return their numbers; limits apply afterwards.

        Raises:
            DataError, RefusedError, UnavailableError: as `add`.
        """
        cleaned = [_clean(text) for text in texts]
        when = self._clock() if at is None else at
        with self._transaction() as db:
            if _paused(db):
                raise RefusedError(f"{self.path}: collecting is paused; edgewise device resume ends that")
            cipher = self._cipher.of(db)
            numbers = [_insert(db, text, cipher.stored(text), held_out, when) for text in cleaned]
            evicted = self._evict(db)
        if evicted:
            self._checkpoint()
        return numbers

    def add_missing(self, texts: Iterable[str]) -> Sequence[int]:
        """Store those of `texts` that the store does not hold yet, and return their numbers.

        A text that was written three times counts three times; so a file that is read again, or a longer export of the
        same chat, adds only what is new, and no message is both trained on and held out by being read twice.

        Raises:
            DataError, RefusedError, UnavailableError: as `add`.
        """
        held = Counter(self.texts())
        new = []
        for text in map(_clean, texts):
            held[text] -= 1
            if held[text] < 0:
                new.append(text)
        return self.add_many(new)

    def count(self, *, held_out: bool | None = None) -> int:
        """Return how many examples there are: all, those held out, or those to train on."""
        with self._reading() as db:
            return int(_one(db, f"SELECT count(*) FROM example {_where(held_out)}"))  # noqa: S608 - fixed strings

    def texts(self, *, held_out: bool | None = None, limit: int | None = None) -> Texts:
        """Return texts by number, oldest first; with `limit` only the newest so many."""
        return [example.text for example in self.list(held_out=held_out, limit=limit)]

    def list(self, *, held_out: bool | None = None, limit: int | None = None) -> Examples:
        """Return examples by number, oldest first; with `limit` only the newest so many."""
        query = f"SELECT id, text, held_out, at FROM example {_where(held_out)} ORDER BY id DESC LIMIT ?"  # noqa: S608
        with self._reading() as db:
            cipher = self._cipher.of(db)
            found = db.execute(query, (-1 if limit is None else limit,)).fetchall()
            return [Example(number, cipher.text(number, text), bool(out), at) for number, text, out, at in found[::-1]]

    def forget(self, *, one: int | None = None, before: float | None = None, everything: bool = False) -> int:
        """Delete one example, those written before a time, or all; return how many went.

        The deleted bytes are overwritten, the file shrinks and the log is emptied before this returns. What a flash
        disk's own wear levelling or a file system's snapshots keep is beyond any program's reach.

        Raises:
            ConfigError: unless exactly one of the three is given.
            UnavailableError: if another process kept reading, so that the bytes may still be in the log file.
        """
        if (one is not None) + (before is not None) + everything != 1:
            raise ConfigError("forget: expected exactly one of one=, before= and everything=True")
        if one is not None:
            condition, values = "id = ?", [float(one)]
        else:
            condition, values = ("1", []) if everything else ("at < ?", [float(before or 0)])
        with self._transaction() as db:
            gone = db.execute(f"DELETE FROM example WHERE {condition}", values).rowcount  # noqa: S608 - fixed strings
            store_cipher.leave_traces(db)
        self._shrink()
        return gone

    @property
    def key_file(self) -> Path | None:
        """Where the key is that the texts are encrypted with; `None` if they are not."""
        with self._reading() as db:
            return store_cipher.key_file(db)

    def check_key(self) -> None:
        """Check that the texts can be read.

        Raises:
            UnavailableError, ConfigError, DataError: naming the key and what is wrong with it.
        """
        with self._reading() as db:
            self._cipher.of(db)

    def sealer(self, purpose: bytes) -> Sealer | None:
        """Return what seals other things with the key of the texts; `None` if those are not encrypted.

        Raises:
            UnavailableError, ConfigError, DataError: as `check_key`.
        """
        with self._reading() as db:
            return self._cipher.for_purpose(db, purpose)

    def encrypt(self, key_file: Path) -> int:
        """Encrypt every text from now on, those that are there included; return how many those are.

        The plain bytes are overwritten and the file is rewritten before this returns; a process that ends in between
        leaves a store of one kind, and the next that opens it finishes. All in one transaction.

        Args:
            key_file: where the key is; it is made, readable by its owner alone, if there is none.

        Raises:
            ConfigError: if the store is encrypted already, or others may use the key.
            UnavailableError: if the key cannot be made or read, the disk is full, or another process kept reading.
        """
        with self._transaction() as db:
            store_cipher.encrypt(db, key_file.absolute())
        self._shrink()
        return self.count()

    def decrypt(self) -> int:
        """Write every text as it is again and return how many there are; the key's file stays.

        Raises:
            ConfigError: if the store is not encrypted.
            UnavailableError, DataError: if the key is not there, or another.
        """
        with self._transaction() as db:
            store_cipher.decrypt(db, self._cipher)
        return self.count()

    @property
    def limits(self) -> Limits:
        """How much this store may hold now."""
        return self._limits() if callable(self._limits) else self._limits

    def enforce(self) -> int:
        """Apply the limits now (age passes without an `add`); return how many examples went."""
        with self._transaction() as db:
            evicted = self._evict(db)
        if evicted:
            self._checkpoint()
        return evicted

    @property
    def paused(self) -> bool:
        """Whether collecting is paused: `add` is refused, everything else works. Kept in the file."""
        with self._reading() as db:
            return _paused(db)

    @paused.setter
    def paused(self, value: bool) -> None:
        with self._transaction() as db:
            db.execute("INSERT OR REPLACE INTO setting VALUES ('paused', ?)", (str(int(value)),))

    @property
    def text_bytes(self) -> int:
        """The UTF-8 bytes of all texts together, as `Limits.bytes` counts them."""
        with self._reading() as db:
            return int(_one(db, "SELECT bytes FROM total"))

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        with self._lock:
            self._db.close()

    def __enter__(self) -> ExampleStore:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._lock, translated(self.path):
            yield self._db

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """One transaction that already owns the write lock, so that it never fails half way for want of it."""
        with self._lock, translated(self.path):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.rollback()
                raise
            self._db.commit()

    def _evict(self, db: sqlite3.Connection) -> int:
        limits, gone = self.limits, 0
        date = None if limits.age is None else self._date()
        if limits.age is not None and date is not None:
            gone += db.execute("DELETE FROM example WHERE at < ?", (date - limits.age,)).rowcount
        examples, held = db.execute("SELECT examples, bytes FROM total").fetchone()
        too_many = 0 if limits.count is None else examples - limits.count
        too_long = 0 if limits.bytes is None else held - limits.bytes
        oldest = db.execute("SELECT id, bytes FROM example ORDER BY at, id")
        doomed = []
        while (too_many > 0 or too_long > 0) and (row := oldest.fetchone()):
            doomed.append((row[0],))
            too_many, too_long = too_many - 1, too_long - row[1]
        oldest.close()  # an open cursor would keep the log from being emptied
        db.executemany("DELETE FROM example WHERE id = ?", doomed)
        return gone + len(doomed)

    def _checkpoint(self) -> bool:
        """Move the log into the file and cut it to nothing; False if another process would not let go."""
        with self._lock, translated(self.path):
            busy, _, _ = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            return not busy

    def _shrink(self) -> None:
        with self._lock, translated(self.path):
            self._db.execute("VACUUM")
        if not self._checkpoint():
            raise UnavailableError(
                f"{self.path}: the examples are deleted, but another process kept the log open, so their bytes may "
                "still be on disk: close it and forget again"
            )
        with self._transaction() as db:
            store_cipher.no_traces(db)


def _clean(text: str) -> str:
    """Return the text as it is stored; lone surrogates (broken input) have no UTF-8 and become question marks."""
    cleaned = text.encode("utf-8", "replace").decode().replace("\0", " ").strip()
    if not cleaned:
        raise DataError("example: expected some text, got none")
    if len(cleaned) > TEXT_CHARACTERS:
        raise DataError(f"example: expected at most {TEXT_CHARACTERS} characters, got {len(cleaned)}")
    return cleaned


def _insert(db: sqlite3.Connection, text: str, stored: str | bytes, held_out: bool | None, at: float) -> int:
    query = "INSERT INTO example (text, bytes, held_out, at) VALUES (?, ?, ?, ?)"
    number = db.execute(query, (stored, len(text.encode()), bool(held_out), at)).lastrowid or 0
    if held_out is None and number % HELD_OUT_EVERY == 0:
        db.execute("UPDATE example SET held_out = 1 WHERE id = ?", (number,))
    return number


def _paused(db: sqlite3.Connection) -> bool:
    return bool(_one(db, "SELECT count(*) FROM setting WHERE name = 'paused' AND value = '1'"))


def _where(held_out: bool | None) -> str:
    return "" if held_out is None else f"WHERE held_out = {int(held_out)}"


def _one(db: sqlite3.Connection, query: str) -> int:
    [value] = db.execute(query).fetchone()
    return int(value)
