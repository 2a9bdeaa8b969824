"""What an operator asks of a coordinator while it runs, through files in its directory.

Whoever may write the directory may ask: the same right that `edgewise models rollback` needs. One request at a time;
the coordinator takes it between two steps and leaves its answer beside it.
"""

from __future__ import annotations

import contextlib
import json
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edgewise_wire.errors import EdgewiseError, InputError, UnavailableError
from edgewise_wire.files import locked, write_durably

REQUEST = "request.json"
ANSWER = "answer.json"
PATIENCE_SECONDS = 30.0  # a coordinator that aggregates a large model looks up this late at the latest
LOOK_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class RollBack:
    """Go on from an older version."""

    version: int
    id: str


def take(directory: Path) -> RollBack | None:
    """Return what was asked and forget it; a request that makes no sense is dropped."""
    path = directory / REQUEST
    try:
        data = path.read_bytes()
    except OSError:
        return None
    path.unlink(missing_ok=True)
    with contextlib.suppress(ValueError, KeyError, TypeError):
        found = json.loads(data)
        return RollBack(int(found["rollback"]), str(found["id"]))
    return None


def answer(directory: Path, request: RollBack, act: Callable[[], int]) -> None:
    """Do what was asked and leave the answer: the number of the version that was made, or why there is none."""
    try:
        said: dict[str, object] = {"id": request.id, "version": act()}
    except EdgewiseError as error:
        said = {"id": request.id, "error": str(error)}
    write_durably(directory / ANSWER, json.dumps(said).encode())


def ask_roll_back(directory: Path, version: int, patience: float = PATIENCE_SECONDS) -> int:
    """Ask the coordinator that runs on a directory to roll back; return the number of the version that it made.

    Raises:
        InputError: if it refuses; the message is its own.
        UnavailableError: if it does not answer in time. The request is taken back then.
    """
    request = RollBack(version, uuid.uuid4().hex)
    deadline = time.monotonic() + patience
    with locked(directory / "request.lock", f"{directory}: somebody else is asking the coordinator; try again", 1.0):
        write_durably(directory / REQUEST, json.dumps({"rollback": version, "id": request.id}).encode())
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError, ValueError):
                said = json.loads((directory / ANSWER).read_bytes())
                if said.get("id") == request.id:
                    if "error" in said:
                        raise InputError(said["error"])
                    return int(said["version"])
            time.sleep(LOOK_SECONDS)
        (directory / REQUEST).unlink(missing_ok=True)
    raise UnavailableError(f"{directory}: its coordinator did not answer within {patience:.0f} s; `edgewise status`")
