"""What was found, in JSON files: recalls, curves and costs by the settings they belong to. No text, no words.

A file is of one text, which it names: `{"text": {"sha256": …, …}, "results": {label: entry}}`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from split import Text

from edgewise.baselines import Recall
from edgewise_wire.errors import DataError
from edgewise_wire.files import locked

Settings = dict[str, Any]
Entry = dict[str, Any]
"""`name`, `settings`, `test` [positions, hits at one, hits at three], `validation` likewise, and what else is known."""


class Results:
    """Results of one text by name and settings. What is in one of the files is not made again; new ones go to the last.

    Args:
        files: read in this order, the later wins.

    Raises:
        DataError: if a file is something else, or is of another text than the file before it.
    """

    def __init__(self, *files: Path) -> None:
        self._path = files[-1]
        self._found: dict[str, Entry] = {}
        self._from: dict[str, Path] = {}
        self._told: set[str] = set()
        self.text: Text | None = None
        self._of: Path | None = None  # the file that said which text it is
        for file in files:
            text, found = _read(file)
            if text:
                self._be_of(text, file)
            self._found.update(found)
            self._from.update(dict.fromkeys(found, file))

    def use(self, text: Text, data: Path) -> None:
        """Take `text`, which was read at `data`, for the one that all results are of.

        Raises:
            DataError: if there are results of another one.
        """
        self._be_of(text, data)

    def _be_of(self, text: Text, where: Path) -> None:
        if self.text and text != self.text:
            raise DataError(
                f"{near(where)}: expected the text of {near(self._of or where)}, SHA-256 {self.text.sha256}, met "
                f"{text.sha256}; --data FILE --fresh with an empty --dir makes results of another text"
            )
        self.text, self._of = text, self._of or where

    def all(self) -> list[Entry]:
        """Return everything that is there."""
        self._told.update(self._found)
        return list(self._found.values())

    def get(self, name: str, settings: Settings, make: Callable[[], Entry]) -> Entry:
        """Return the result of exactly these settings, made now if it is not there."""
        label = f"{name} {json.dumps(settings, sort_keys=True)}"
        if label not in self._found:
            self._found[label] = {"name": name, "settings": settings, **make()}
            self._keep(label)
        elif label in self._from:
            self._told.add(label)
        return self._found[label]

    def not_made_now(self) -> str:
        """Return in a sentence how many of the results asked for were saved ones and how to make them, or nothing."""
        if not self._told:
            return ""
        files = " and ".join(dict.fromkeys(str(near(self._from[label])) for label in self._from if label in self._told))
        return (
            f"{len(self._told)} saved results were read from {files} and not made now; "
            "--data FILE --fresh with an empty --dir makes them anew."
        )

    def _keep(self, label: str) -> None:
        """Add a result to the file, which another run may have added to meanwhile."""
        assert self.text, "use() comes before get()"
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with locked(self._path.with_suffix(".lock"), f"{self._path}: another run writes to it", 60.0):
            text, there = _read(self._path)
            if text:
                self._be_of(text, self._path)
            whole = {"text": asdict(self.text), "results": {**there, label: self._found[label]}}
            new = self._path.with_suffix(".new")
            new.write_text(json.dumps(whole, indent=1) + "\n", "utf-8")
            new.replace(self._path)


def _read(path: Path) -> tuple[Text | None, dict[str, Entry]]:
    if not path.exists():
        return None, {}
    try:
        found = json.loads(path.read_text("utf-8"))
        return Text(**found["text"]), dict(found["results"])
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{near(path)}: expected results with the text that they are of; take another --dir, or make them anew"
        ) from error


def near(path: Path) -> Path:
    """Return a path as seen from here, if it is below."""
    try:
        return path.resolve().relative_to(Path.cwd().resolve())
    except ValueError:
        return path


def counted(found: Recall) -> list[int]:
    """Return a recall as an entry keeps it."""
    return [found.words, found.top1_hits, found.top3_hits]


def recall_in(entry: Entry, part: str = "test") -> Recall:
    """Return the recall that an entry keeps."""
    return Recall(*entry[part])
