"""What is told of a round when it has ended: a row of the table, a line of `rounds.jsonl`."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(slots=True)
class RoundSummary:
    """One round. Bytes are payloads as the coordinator saw them: a blob read by many devices counts once.

    `metrics` are those of the version the round made (or measured), pooled over the devices' held-out examples.
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

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self)


def append_line(path: Path, row: dict[str, Any]) -> None:
    """Append one JSON object as a line."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
