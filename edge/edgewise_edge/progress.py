"""How far a phase of a session is."""

from __future__ import annotations

from typing import NamedTuple


class Step(NamedTuple):
    """Said after every batch or chunk: `done` of `total`, and the mean loss so far in this epoch (0 elsewhere)."""

    done: int
    total: int
    loss: float


NOTHING_DONE = Step(0, 0, 0.0)
