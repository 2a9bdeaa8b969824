"""One phase of a session each: what a device does between accepting an assignment and its acknowledgement.

A phase is driven by the agent: `start` once, `connected` whenever the link comes up, `hear` for messages about this
assignment, `tick` when `due`, `compute` for one batch while `busy`. It raises an `EdgewiseError` when it cannot go on.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from edgewise_edge.link import Heard, Link
from edgewise_edge.progress import NOTHING_DONE, Step
from edgewise_edge.session import Work
from edgewise_wire.clock import Clock
from edgewise_wire.errors import RunError
from edgewise_wire.messages import DeviceState, EvaluationReport, UploadRequest

if TYPE_CHECKING:
    from edgewise_edge.jobs import Computation, Computed

REPEAT_SECONDS = 10.0  # an evaluation report is said again until it is acknowledged


class Phase:
    """The part of a session in one state; by default it waits."""

    state: DeviceState
    busy = False
    due = math.inf
    bytes_down = 0
    bytes_up = 0
    seconds = 0.0

    @property
    def finished(self) -> bool:
        """Whether the next phase can begin."""
        return False

    @property
    def progress(self) -> Step:
        """How far it is."""
        return NOTHING_DONE

    def start(self) -> None:
        """Begin."""

    def connected(self) -> None:
        """The link came up again."""

    def hear(self, heard: Heard) -> None:
        """Take a message about this assignment."""

    def tick(self) -> None:
        """Do what is due."""

    def compute(self) -> None:
        """Compute one batch."""

    def repeat(self) -> None:
        """Say again what was last said."""

    safe = False
    """Whether the coordinator has said that it has the update safe."""

    def acknowledged(self) -> bool:
        """Take word that the coordinator has the report safe; return whether nothing more is to be done."""
        return True

    def stop(self) -> None:
        """Let go of everything; files stay for a later process."""


class Compute(Phase):
    """Trains or evaluates, a batch at a time; `take_result` gives what came of it when it is finished."""

    state = DeviceState.TRAINING
    busy = True

    def __init__(self, clock: Clock, begin: Callable[[], Computation]) -> None:
        self._clock = clock
        self._begin = begin
        self._computation: Computation | None = None
        self._step = NOTHING_DONE
        self.seconds = 0.0

    @property
    def finished(self) -> bool:
        """Whether the result is there."""
        return self._computation is not None and self._computation.result is not None

    @property
    def progress(self) -> Step:
        """Batches done, of how many, and the loss so far."""
        return self._step

    def compute(self) -> None:
        """Load what is needed, then one batch a call."""
        began = self._clock.now()
        try:
            if self._computation is None:
                self._computation = self._begin()
            self._step = self._computation.advance()
        finally:
            self.seconds += self._clock.now() - began

    def take_result(self) -> Computed:
        """Return what came of it, with the seconds that it took."""
        found = self._computation.result if self._computation is not None else None
        if found is None:
            raise RunError("the computation is not finished")
        if isinstance(found.report, UploadRequest):
            return replace(found, report=replace(found.report, seconds=self.seconds))
        return found

    def stop(self) -> None:
        """Stop between two batches."""
        if self._computation is not None:
            self._computation.stop()


class SendReport(Phase):
    """Says an evaluation's sums until they are acknowledged."""

    state = DeviceState.UPLOADING

    def __init__(self, link: Link, clock: Clock, work: Work, report: EvaluationReport) -> None:
        self._link = link
        self._clock = clock
        self._work = work
        self._report = report

    def start(self) -> None:
        """Say it."""
        self.repeat()

    def connected(self) -> None:
        """Say it again: it may have been lost with the link."""
        self.repeat()

    def tick(self) -> None:
        """Say it again after a silence."""
        if self._clock.now() >= self.due:
            self.repeat()

    def repeat(self) -> None:
        """Say it."""
        self._link.say(self._report, self._work.round)
        self.due = self._clock.now() + REPEAT_SECONDS
