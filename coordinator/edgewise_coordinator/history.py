"""`rounds.jsonl`: one line a training round, with what the evaluation after it found; line 0 is before training."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

from edgewise_coordinator.machine import Phase
from edgewise_coordinator.state import StateStore
from edgewise_coordinator.summary import RoundSummary, append_line
from edgewise_wire.errors import UnavailableError
from edgewise_wire.files import write_durably
from edgewise_wire.messages import Kind

log = logging.getLogger("edgewise.coordinator")

Row: TypeAlias = dict[str, Any]
"""A line: `round` counts training rounds from 1 (0 = the first version as it was measured before any)."""


class History:
    """Turns the ends of rounds into lines, each written once its evaluation is known (or will not come).

    `evaluated(version)` says whether a version is to be measured. Lines that a killed process did not come to write are
    written when the next one starts.
    """

    def __init__(self, path: Path, store: StateStore, evaluated: Callable[[int], bool]) -> None:
        self.path = path
        self._evaluated = evaluated
        self._waiting: Row | None = None
        self._unwritten: list[Row] = []
        self.rows: list[Row] = self._read()
        self._count = max((row["round"] for row in self.rows), default=0)
        self._catch_up(store)

    def add(self, summary: RoundSummary) -> None:
        """Note that a round has ended."""
        if summary.kind == Kind.EVALUATE.name.lower():
            self._add_evaluation(summary)
            return
        self.flush()
        self._count += 1
        self._waiting = _row(summary, self._count)
        if summary.phase == Phase.ABANDONED.value or not self._evaluated(summary.version):
            self.flush()

    def flush(self) -> None:
        """Write the line that still waits for its evaluation, and those that a full disk did not take."""
        if self._waiting is not None:
            self._write(self._waiting)
            self._waiting = None
        self._write_out()

    def _add_evaluation(self, summary: RoundSummary) -> None:
        row, self._waiting = self._waiting, None
        if row is None or row["version"] != summary.version:
            row = _row(summary, 0)
            row.update(reported=0, selected=0, train_loss=None, examples=0)
        row.update(summary.metrics, evaluated=summary.reported, evaluation_id=summary.round_id)
        if row["round"]:
            for key in ("bytes_up", "bytes_down", "seconds"):
                row[key] += getattr(summary, key)
        self._write(row)

    def _write(self, row: Row) -> None:
        self.rows.append(row)
        self._unwritten.append(row)
        self._write_out()

    def _write_out(self) -> None:
        try:
            while self._unwritten:
                append_line(self.path, self._unwritten[0])
                self._unwritten.pop(0)
        except UnavailableError as error:  # the state has it all; rounds do not stop for a table
            log.warning("%s", error)

    def _read(self) -> list[Row]:
        if not self.path.exists():
            return []
        lines = self.path.read_text(encoding="utf-8").splitlines()
        rows = [json.loads(line) for line in lines if line.endswith("}")]
        if len(rows) < len(lines):  # the last line was torn by a kill: it is written anew below
            write_durably(self.path, "".join(json.dumps(row) + "\n" for row in rows).encode())
        return rows

    def _catch_up(self, store: StateStore) -> None:
        seen = max((max(row["round_id"], row.get("evaluation_id", 0)) for row in self.rows), default=0)
        ended = [RoundSummary(**s) for kind in Kind for s in store.summaries(kind)]
        for summary in sorted(ended, key=lambda s: s.round_id):
            if summary.round_id > seen:
                self.add(summary)


def _row(summary: RoundSummary, number: int) -> Row:
    row = summary.as_dict()
    metrics = row.pop("metrics")
    del row["kind"]
    return {"round": number, **row, **metrics, "evaluated": 0}
