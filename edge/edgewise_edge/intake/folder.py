"""A folder whose text files become examples, and go on doing so while they grow.

What was read of each file is noted in `watched.json`: how many messages, and the hash of them. A file that grew gives
its new messages alone, so what the owner has forgotten does not come back; one that was rewritten gives those that the
store does not hold. The files themselves are never changed.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path

from edgewise_edge.home import read_json, write_json
from edgewise_edge.store import ExampleStore
from edgewise_wire.errors import ConfigError, DataError

log = logging.getLogger(__name__)

SUFFIXES = (".txt", ".jsonl", ".json", ".xml", ".zip")


class WatchedFolder:
    """Looks at `path` for files that are new or have grown.

    A file is read once it has kept its size from one look to the next: who copies it may not be done. A file that
    cannot be read is told of once and left alone until it changes.

    Args:
        path: the folder.
        store: where examples go.
        notes: the file that says what was read.
        person: whose messages to take of files with several people's.

    Raises:
        ConfigError: if there is no such folder.
    """

    def __init__(self, path: Path, store: ExampleStore, notes: Path, person: str | None = None) -> None:
        if not path.is_dir():
            raise ConfigError(f"watch folder {path}: there is no such folder; make it first")
        self._path = path
        self._store = store
        self._notes = notes
        self._person = person
        self._seen: dict[str, tuple[int, int]] = {}

    def look(self) -> int:
        """Read what is new; return how many examples came of it.

        Raises:
            UnavailableError: if the disk is full; then the next look tries again.
        """
        if self._store.paused:
            return 0
        added, noted = 0, read_json(self._notes)
        for path in self._files():
            stamp = (path.stat().st_size, path.stat().st_mtime_ns)
            before, self._seen[path.name] = self._seen.get(path.name), stamp
            entry = noted.get(path.name)
            entry = entry if isinstance(entry, dict) else {}
            if before != stamp or entry.get("stamp") == list(stamp):
                continue
            read, count = self._read(path, entry)
            added += count
            noted[path.name] = read | {"stamp": stamp}
            write_json(self._notes, noted)
        return added

    def _files(self) -> list[Path]:
        try:
            found = [path for path in self._path.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file()]
        except OSError as error:
            raise DataError(f"watch folder {self._path}: cannot be read ({error.strerror})") from error
        return sorted(path for path in found if not path.name.startswith((".", "~")))

    def _read(self, path: Path, entry: dict[str, object]) -> tuple[dict[str, object], int]:
        try:
            messages = self._messages(path)
        except DataError as error:
            log.warning("not read: %s", error)
            return {}, 0
        known = entry.get("messages", 0)
        known = known if isinstance(known, int) and known <= len(messages) else 0
        if known and entry.get("hash") != _hash(messages[:known]):
            known = 0
        added = len(self._store.add_missing(messages[known:]))
        log.info("%s: %d new of %d messages", path.name, added, len(messages))
        return {"messages": len(messages), "hash": _hash(messages)}, added

    def _messages(self, path: Path) -> Sequence[str]:
        from edgewise_edge.readers import read_people  # XML and zip only where there is something to read

        people = read_people(path)
        if self._person is None and len(people) > 1:
            raise DataError(f"{path}: messages of {len(people)} people; choose one with --person")
        name = next(iter(people)) if self._person is None or len(people) == 1 else self._person
        if name not in people:
            raise DataError(f"{path}: nobody called {name!r}")
        return people[name]


def _hash(messages: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(messages).encode("utf-8", "replace")).hexdigest()
