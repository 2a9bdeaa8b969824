"""What was found, in JSON files: recalls, curves and costs by the settings they belong to. No text, no words."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgewise.baselines import Recall

Settings = dict[str, Any]
Entry = dict[str, Any]
"""`name`, `settings`, `test` [positions, hits at one, hits at three], `validation` likewise, and what else is known."""


class Missing(Exception):  # noqa: N818
    """A result that is not there, and no text to make it from."""


class Results:
    """Results by name and settings. What is in one of the files is not done again; what is new goes to the last one.

    Args:
        files: read in this order, the later wins.
    """

    def __init__(self, *files: Path) -> None:
        self._path = files[-1]
        read = [json.loads(file.read_text("utf-8")) if file.exists() else {} for file in files]
        self._own: dict[str, Entry] = read[-1]
        self._found: dict[str, Entry] = {label: entry for one in read for label, entry in one.items()}

    def get(self, name: str, settings: Settings, make: Callable[[], Entry] | None) -> Entry:
        """Return the result of exactly these settings, made now if it is not there.

        Raises:
            Missing: if it is not there, and `make` is `None`.
        """
        label = f"{name} {json.dumps(settings, sort_keys=True)}"
        if label not in self._found:
            if make is None:
                raise Missing(label)
            self._found[label] = self._own[label] = {"name": name, "settings": settings, **make()}
            self._path.parent.mkdir(parents=True, exist_ok=True)
            new = self._path.with_suffix(".new")
            new.write_text(json.dumps(self._own, indent=1) + "\n", "utf-8")
            new.replace(self._path)
        return self._found[label]


def counted(found: Recall) -> list[int]:
    """Return a recall as an entry keeps it."""
    return [found.words, found.top1_hits, found.top3_hits]


def recall_in(entry: Entry, part: str = "test") -> Recall:
    """Return the recall that an entry keeps."""
    return Recall(*entry[part])
