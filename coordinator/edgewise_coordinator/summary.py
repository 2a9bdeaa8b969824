"""What is told of a round when it has ended: a row of the table, a line of `rounds.jsonl`."""

from __future__ import annotations

import errno
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from edgewise_wire.errors import UnavailableError


@dataclass(slots=True)
class RoundSummary:
    """One round. Bytes are payloads as the coordinator saw them: a blob read by many devices counts once.

    `started` is a date, in seconds since 1970; `seconds` is how long the process that ended it was at it.
    `metrics` are those of the version the round made (or measured), pooled over the devices' held-out examples.
    `privacy` is what everything released so far comes to, and what that rests on; empty where nothing is promised.
    """

    round_id: int
    kind: str
    phase: str
    version: int
    started: float
    seconds: float = 0.0
    selected: int = 0
    reported: int = 0
    failed: dict[str, int] = field(default_factory=dict)
    examples: int = 0
    train_loss: float | None = None
    bytes_up: int = 0
    bytes_down: int = 0
    reason: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
    privacy: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self)


def append_line(path: Path, row: dict[str, Any]) -> None:
    """Append one JSON object as a line, or nothing at all.

    Raises:
        UnavailableError: if the disk refuses.
    """
    line = (json.dumps(row) + "\n").encode()
    try:
        with path.open("ab", buffering=0) as file:
            before = file.seek(0, os.SEEK_END)
            if file.write(line) != len(line):
                file.truncate(before)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError as error:
        raise UnavailableError(f"{path}: cannot be written ({error.strerror}); free or mend the disk") from error
