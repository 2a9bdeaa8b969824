"""The latest model a device downloaded: which graph, which weights, of which round."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from edgewise_edge.home import Home, read_json
from edgewise_wire.files import write_durably
from edgewise_wire.messages import Assignment

HASH_BYTES = 32


@dataclass(frozen=True, slots=True)
class Latest:
    """A graph and weights by their hashes, and the round and model version they came with."""

    graph: bytes
    weights: bytes
    round: int
    version: int


class LatestModel:
    """The note of it in a device's folder, written only when both blobs are whole."""

    def __init__(self, home: Home) -> None:
        self._path: Path = home.model
        self._cached: Latest | None = None

    def save(self, asked: Assignment, round_number: int) -> None:
        """Note that an assignment's graph and weights are here."""
        latest = Latest(asked.graph.hash, asked.weights.hash, round_number, asked.version)
        if latest == self.load():
            return
        plain = {
            "graph": latest.graph.hex(), "weights": latest.weights.hex(),
            "round": latest.round, "version": latest.version,
        }  # fmt: skip
        write_durably(self._path, json.dumps(plain).encode() + b"\n")
        self._cached = latest

    def load(self) -> Latest | None:
        """Return the note, or `None` if there is none or it is torn."""
        if self._cached is None:
            self._cached = _latest(read_json(self._path))
        return self._cached

    def hashes(self) -> tuple[bytes, ...]:
        """Return the blobs to keep."""
        latest = self.load()
        return (latest.graph, latest.weights) if latest else ()


def _latest(plain: dict[str, object]) -> Latest | None:
    try:
        graph, weights = (bytes.fromhex(str(plain[key])) for key in ("graph", "weights"))
        found = Latest(graph, weights, int(str(plain["round"])), int(str(plain["version"])))
    except (KeyError, ValueError):
        return None
    return found if len(graph) == len(weights) == HASH_BYTES else None
