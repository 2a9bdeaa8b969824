"""A device's folder: where everything stands, how it is written so that a power cut spoils nothing, who holds it.

examples.sqlite        the owner's examples
examples.key           what they are encrypted with, if they are and the key is nowhere else
participation.sqlite   what was asked and sent
policy.json            the owner's limits (optional)
paused                 exists while the owner has paused participation
model.json, blobs/     the latest graph and weights
session/               the assignment in work: see `session.py`
clock.json             the last date seen
examples.sock          where other programs hand in sentences, while the agent runs
watched.json           what was read of a watched folder
status.json            what the agent last said about itself
agent.lock             held by the running agent
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from edgewise_wire.errors import UnavailableError
from edgewise_wire.files import locked

ENVIRONMENT = "EDGEWISE_HOME"
LOCK_SECONDS = 0.5  # `edgewise device status` holds the lock for a moment when it looks who has it


def default_home(environment: Mapping[str, str] = os.environ) -> Path:
    """Return where a device lives unless told otherwise: `$EDGEWISE_HOME`, or the user's data folder."""
    if chosen := environment.get(ENVIRONMENT):
        return Path(chosen).expanduser()
    data = environment.get("XDG_DATA_HOME") or "~/.local/share"
    return (Path(data) / "edgewise").expanduser()


class Home:
    """The paths inside a device's folder; the folder is made, readable by its owner alone.

    Raises:
        UnavailableError: if the folder cannot be made.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path).expanduser().absolute()
        try:
            for folder in (self.path, self.blobs, self.session):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise UnavailableError(f"device folder {self.path}: cannot be made ({error.strerror})") from error

    @property
    def examples(self) -> Path:
        """The example store."""
        return self.path / "examples.sqlite"

    @property
    def key(self) -> Path:
        """What the examples are encrypted with."""
        return self.path / "examples.key"

    @property
    def participation(self) -> Path:
        """The participation log."""
        return self.path / "participation.sqlite"

    @property
    def policy(self) -> Path:
        """The owner's limits."""
        return self.path / "policy.json"

    @property
    def paused(self) -> Path:
        """The mark of a pause."""
        return self.path / "paused"

    @property
    def blobs(self) -> Path:
        """The folder of downloaded blobs."""
        return self.path / "blobs"

    @property
    def session(self) -> Path:
        """The folder of the assignment in work."""
        return self.path / "session"

    @property
    def model(self) -> Path:
        """What the latest graph and weights are."""
        return self.path / "model.json"

    @property
    def clock(self) -> Path:
        """The last date seen."""
        return self.path / "clock.json"

    @property
    def socket(self) -> Path:
        """Where other programs hand in sentences."""
        return self.path / "examples.sock"

    @property
    def watched(self) -> Path:
        """What was read of a watched folder."""
        return self.path / "watched.json"

    @property
    def status(self) -> Path:
        """What the agent last said about itself."""
        return self.path / "status.json"

    @contextlib.contextmanager
    def locked(self, patience: float = LOCK_SECONDS) -> Iterator[None]:
        """Hold the folder for one agent.

        Raises:
            UnavailableError: if another process holds it for `patience` seconds.
        """
        refusal = f"device folder {self.path}: another agent runs there; give this one its own --home"
        with locked(self.path / "agent.lock", refusal, patience):
            yield

    def in_use(self) -> bool:
        """Return whether an agent runs on this folder."""
        try:
            with self.locked(patience=0.0):
                return False
        except UnavailableError:
            return True


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Replace a small JSON file; not synced, for what may be lost."""
    beside = path.with_name(path.name + ".new")
    beside.write_text(json.dumps(value) + "\n", "utf-8")
    beside.replace(path)


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file, an empty one if there is none or it is torn."""
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
