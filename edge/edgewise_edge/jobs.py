"""What is computed for an assignment, wherever that is: in this process, or in one of its own that ends afterwards."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

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


Computing: TypeAlias = Callable[[Job], Computation]
"""Begins a job."""


def in_process(host: Host) -> Computing:
    """Return what computes jobs in this process, with the host's trainer and examples."""

    def begin(job: Job) -> Computation:
        from edgewise_edge.computing import InProcess  # NumPy: only when there is something to compute

        return InProcess(host, job)

    return begin
