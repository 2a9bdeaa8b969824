"""Masked updates, of which the coordinator learns the sum alone: the phases of Bonawitz et al. 2017 in one round.

    keys       devices have trained and advertise keys; the roster is fixed when there are enough of them
    shares     each seals its secrets for its neighbours; who has not by the deadline is out
    masks      each pledges whom it masks with, and uploads; the round's machine closes when nobody is left to wait for
    consent    each that survived signs who did; the coordinator waits for a quorum
    opening    each opens the shares that it holds; with enough of them the masks come off, and the sum is read

Every phase has a deadline by the injected clock, and stands drop-outs down to the threshold. Whatever a device says is
recorded before it is answered; a coordinator that comes back replays what was recorded.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from edgewise_coordinator.algorithms.base import Aggregate
from edgewise_coordinator.collecting.base import Pooled
from edgewise_coordinator.collecting.secure_joining import SecureJoining
from edgewise_coordinator.collecting.secure_opening import SecureOpening
from edgewise_coordinator.collecting.secure_round import SecureRound, SecureSettings
from edgewise_coordinator.collecting.secure_talk import SecureTalk
from edgewise_coordinator.context import Context
from edgewise_coordinator.machine import Action, RoundMachine
from edgewise_coordinator.model import Model
from edgewise_coordinator.opening import Collect
from edgewise_coordinator.spooled import Spooled
from edgewise_coordinator.state import Report
from edgewise_wire.crypto.enrolled import Register
from edgewise_wire.errors import InputError
from edgewise_wire.messages import Abort, Assignment, Body, UploadRequest
from edgewise_wire.secure.form import ENCODING, EXTRA, packed_bytes
from edgewise_wire.secure.words import unpack


def secure_updates(settings: SecureSettings, register: Register | None = None) -> Collect:
    """Return the secure way of collecting.

    Args:
        settings: how its rounds run.
        register: knows who is enrolled; `None` in a fleet without certificates.
    """

    def collect(context: Context, model: Model, round_id: int) -> SecureUpdates:
        size = context.recipe.size(model.parameters)
        return SecureUpdates(SecureRound(context, round_id, settings, register), size)

    return collect


class SecureUpdates:
    """The collection of one secure round, whose updates have `numbers` numbers."""

    def __init__(self, round: SecureRound, numbers: int) -> None:
        self._round = round
        self._collector = round.collector
        self._talk = SecureTalk(round)
        self._joining = SecureJoining(round)
        self._opening = SecureOpening(round)
        self._words = numbers + EXTRA
        self._total = np.zeros(self._words, np.uint32)
        self._files: dict[Path, int] = {}
        self._added: set[int] = set()

    @property
    def terms(self) -> int:
        """How many updates were added."""
        return len(self._added)

    @property
    def pooled(self) -> Pooled | None:
        """What the sum says of all devices, once it is read."""
        return self._opening.pooled

    @property
    def update_bytes(self) -> int:
        """How long a masked update is."""
        return packed_bytes(self._words, self._collector.form.modulus_bits)

    def ask(self, template: Assignment, device: str) -> Assignment:
        """Ask for a masked update, and say what the device is promised besides."""
        asked = replace(template, encoding=ENCODING, secure=self._collector.terms)
        return self._round.context.privacy.ask(asked, self._round.number)

    def check(self, request: UploadRequest) -> None:
        """Check that a device sends a masked update, and says nothing of itself besides. Raises InputError if not."""
        if request.encoding != ENCODING:
            raise InputError(f"update: expected it encoded as {ENCODING}, the device sends {request.encoding!r}")
        if (request.examples, request.loss, request.steps, request.seconds) != (1, 0.0, 0, 0.0):
            raise InputError("masked update: what a device tells of itself must be in the sum, and not beside it")

    def weigh(self, file: Path, report: Report, staleness: int, *, checked: bool) -> Spooled:
        """Return a masked update as a term of the sum. Raises InputError if its device has not pledged itself."""
        number = self._collector.number(report.device)
        if number is None or number not in self._collector.pledges:
            raise InputError("masked update: its device has not said whom it masked it with")
        self._files[file] = number
        return Spooled(file, self._words, 1.0)

    def add(self, update: Spooled) -> None:
        """Add a recorded update to the sum, modulo 2^32."""
        number = self._files.pop(update.path)
        if number not in self._added:
            self._total += unpack(update.path.read_bytes(), self._words, self._collector.form.modulus_bits)
            self._added.add(number)

    def hear(self, device: str, round_id: int, body: Body) -> bool:
        """Take a message of a secure round; it is looked at when the clock next is."""
        return round_id == self._round.number and self._talk.hear(device, body)

    def tick(self, machine: RoundMachine) -> Sequence[Action]:
        """Take what was heard, and do what the phase asks for."""
        if not machine.phase.open:
            return ()
        refused = self._talk.settle(machine)
        return self._joining.tick(machine, refused, self._talk.last_key)

    def finish(self, reports: Sequence[Report]) -> Aggregate | None:
        """Return the mean, once a quorum agrees and has opened enough shares for the masks to come off.

        Raises:
            CollectionError: if it does not in time, or what it opens does not fit.
        """
        self._talk.settle(None)
        return self._opening.advance(self._total, reports)

    def deadline(self) -> float:
        """Return when the phase may have to end, or at once while there is something to do."""
        now = self._round.context.clock.now()
        if self._talk.waiting or self._opening.busy:
            return now
        return self._round.phase_ends if self._round.phase_ends > now else math.inf

    def forget(self, device: str) -> None:
        """Do nothing: the upload desk has what was sent, and the phases see for themselves who is gone."""

    def end(self) -> None:
        """The round is over: devices that still wait are told, and what was recorded of it goes."""
        for _, device, attempt in self._round.survivors():
            if device not in self._talk.answered:
                self._round.send(device, Abort(attempt, "the round is over", self._round.away()))
        self._round.log.end()
