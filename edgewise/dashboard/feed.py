"""What the page is told: read from a coordinator's directory, where it changes while rounds go by."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any, TypeAlias

from edgewise_coordinator import snapshot
from edgewise_coordinator.catalog import Catalog
from edgewise_wire.errors import ConfigError, InputError

Row: TypeAlias = dict[str, Any]
ROUNDS = "rounds.jsonl"
VERSIONS_SHOWN = 200  # the newest, and the first beside them


class Feed:
    """Reads a coordinator's directory again and again; each question is answered from what is there now.

    Not for several threads at once: the catalog's database belongs to the thread that opened it.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._rows: list[Row] = []
        self._read_bytes = 0
        self._catalog: Catalog | None = None

    def status(self) -> Row | None:
        """Return the coordinator's last snapshot with why it is not well (`ill`), or nothing before the first."""
        try:
            found = snapshot.read(self.directory)
        except ConfigError:
            return None
        return {**found, "ill": snapshot.illness(found, time.time())}

    def rounds(self) -> list[Row]:
        """Return every finished round's line; only what was appended since the last time is read."""
        path = self.directory / ROUNDS
        try:
            if path.stat().st_size < self._read_bytes:  # it was written anew after a torn line
                self._rows, self._read_bytes = [], 0
            with path.open("rb") as file:
                file.seek(self._read_bytes)
                fresh = file.read()
        except OSError:
            return self._rows
        whole = fresh[: fresh.rfind(b"\n") + 1]
        self._read_bytes += len(whole)
        self._rows = [*self._rows, *(json.loads(line) for line in whole.splitlines())]
        return self._rows

    def catalog(self) -> Catalog | None:
        """Return the versions, or nothing before the first."""
        if self._catalog is None:
            try:
                self._catalog = Catalog(self.directory)
            except InputError:
                return None
        return self._catalog

    def versions(self) -> list[Row]:
        """Return the versions, newest first, with their parents; of very many the newest ones and the first."""
        catalog = self.catalog()
        rows: list[Row] = catalog.told() if catalog else []
        shown = rows if len(rows) <= VERSIONS_SHOWN else [rows[0], *rows[-VERSIONS_SHOWN:]]
        return shown[::-1]

    def close(self) -> None:
        """Close the database."""
        if self._catalog is not None:
            self._catalog.close()
