"""What is computed for an assignment, wherever that is: in this process, or in one of its own (`apart.py`)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from edgewise_edge.home import Home
from edgewise_edge.progress import Step
from edgewise_edge.session import Report, Work

if TYPE_CHECKING:
    from edgewise_edge.host import Host


@dataclass(frozen=True, slots=True)
class Job:
    """What is computed: for which work, by which device, on at most how many examples (0 = all)."""

    home: Home
    work: Work
    device: str
    most: int


@dataclass(frozen=True, slots=True)
class Computed:
    """What came of it: what to report, and the figures for the owner's log. An update's bytes are on disk already.

    No report means that the differences do not lead to the round's weights, which must be fetched whole.
    """

    report: Report | None
    figures: Mapping[str, float]


class Computation(Protocol):
    """A job on its way."""

    @property
    def result(self) -> Computed | None:
        """What came of it, once it is finished."""

    def advance(self) -> Step:
        """Go on by one batch at the most, or for a moment; return how far it is.

        Raises:
            EdgewiseError, OSError, MemoryError: if it cannot go on.
        """

    def stop(self) -> None:
        """Stop now; nothing of it counts."""


class Computing(Protocol):
    """Where jobs are computed, one at a time."""

    @property
    def due(self) -> float:
        """When `tick` has something to do, by the agent's clock."""

    def __call__(self, job: Job) -> Computation:
        """Begin a job.

        Raises:
            EdgewiseError: if it cannot be begun.
        """

    def tick(self) -> None:
        """Do what is due."""

    def close(self) -> None:
        """Let go of what is kept for the next job."""


class InProcessComputing:
    """Computes jobs in this process, with the host's trainer and examples."""

    due = math.inf

    def __init__(self, host: Host) -> None:
        self._host = host

    def __call__(self, job: Job) -> Computation:
        """Begin a job."""
        from edgewise_edge.computing import InProcess  # NumPy: only when there is something to compute

        return InProcess(self._host, job)

    def tick(self) -> None:
        """Do nothing: the host keeps what is kept."""

    def close(self) -> None:
        """Do nothing: the host keeps what is kept."""
