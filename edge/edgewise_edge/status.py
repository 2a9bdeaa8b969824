"""Where the device stands, told to its owner's log, to `status.json`, and to the coordinator as progress."""

from __future__ import annotations

import contextlib
import logging
import os
from pathlib import Path

from edgewise_edge.home import write_json
from edgewise_edge.link import Link, sentence
from edgewise_edge.progress import Step
from edgewise_edge.session import Work
from edgewise_wire.clock import Clock
from edgewise_wire.messages import DeviceState, Progress

log = logging.getLogger(__name__)

PROGRESS_SECONDS = 5.0


class Status:
    """The device's state. Nothing of it is a secret: never a text, never a password."""

    def __init__(self, path: Path, link: Link, clock: Clock) -> None:
        self.state = DeviceState.IDLE
        self._path = path
        self._link = link
        self._clock = clock
        self._progress_at = 0.0

    def enter(self, state: DeviceState, work: Work | None = None, why: str = "") -> None:
        """Change the state and say so; the same state again is news only with a reason."""
        if state is self.state and not why:
            return
        self.state = state
        name = state.name.lower().replace("_", "-")
        log.info("%s%s%s", name, f" ({work})" if work else "", f": {sentence(why)}" if why else "")
        self.show(name, work)
        if work is not None:
            self._progress_at = self._clock.now()
            self.progress(work, Step(0, 0, 0.0))

    def progress(self, work: Work, step: Step) -> None:
        """Tell the coordinator how far the work is, now and then; what is lost of it is not missed.

        In a secure round it hears that the device is at it and no more: steps and loss of one device are in the sum.
        """
        now = self._clock.now()
        if work.asked.secure.cohort:
            step = Step(0, 0, 0.0)
        if now >= self._progress_at:
            self._progress_at = now + PROGRESS_SECONDS
            body = Progress(work.asked.attempt, self.state, step.done, step.total, step.loss)
            self._link.say(body, work.round, qos=0)

    def show(self, state: str, work: Work | None = None) -> None:
        """Write `status.json`; a full disk is no reason to stop."""
        identity = self._link.identity
        plain = {
            "state": state,
            "since": self._clock.wall(),
            "pid": os.getpid(),
            "fleet": identity.fleet,
            "device": identity.device,
            "round": work.round if work else None,
        }
        with contextlib.suppress(OSError):
            write_json(self._path, plain)
