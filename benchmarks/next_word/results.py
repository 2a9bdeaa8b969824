"""What was found, in JSON files: recalls, curves and costs by the settings they belong to. No text, no words."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgewise.baselines import Recall
from edgewise_wire.files import locked

Settings = dict[str, Any]
Entry = dict[str, Any]
"""`name`, `settings`, `test` [positions, hits at one, hits at three], `validation` likewise, and what else is known."""


class Results:
    """Results by name and settings. What is in one of the files is not done again; what is new goes to the last one.

    Args:
        files: read in this order, the later wins.
    """

    def __init__(self, *files: Path) -> None:
        self._path = files[-1]
        self._found: dict[str, Entry] = {label: entry for file in files for label, entry in _read(file).items()}

    def all(self) -> list[Entry]:
        """Return everything that is there."""
        return list(self._found.values())

    def get(self, name: str, settings: Settings, make: Callable[[], Entry]) -> Entry:
        """Return the result of exactly these settings, made now if it is not there."""
        label = f"{name} {json.dumps(settings, sort_keys=True)}"
        if label not in self._found:
            self._found[label] = {"name": name, "settings": settings, **make()}
            self._keep(label)
        return self._found[label]

    def _keep(self, label: str) -> None:
        """Add a result to the file, which another run may have added to meanwhile."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with locked(self._path.with_suffix(".lock"), f"{self._path}: another run writes to it", 60.0):
            new = self._path.with_suffix(".new")
            new.write_text(json.dumps({**_read(self._path), label: self._found[label]}, indent=1) + "\n", "utf-8")
            new.replace(self._path)


def _read(path: Path) -> dict[str, Entry]:
    found: dict[str, Entry] = json.loads(path.read_text("utf-8")) if path.exists() else {}
    return found


def counted(found: Recall) -> list[int]:
    """Return a recall as an entry keeps it."""
    return [found.words, found.top1_hits, found.top3_hits]


def recall_in(entry: Entry, part: str = "test") -> Recall:
    """Return the recall that an entry keeps."""
    return Recall(*entry[part])
