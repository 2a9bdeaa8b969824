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

import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from edgewise_coordinator.algorithms.base import Aggregate
from edgewise_coordinator.collecting.base import CollectionError, Pooled
from edgewise_coordinator.collecting.secure_log import SecureLog
from edgewise_coordinator.context import Context
from edgewise_coordinator.faults import FaultPoint
from edgewise_coordinator.machine import Action, Drop, RoundMachine
from edgewise_coordinator.model import Model
from edgewise_coordinator.opening import Collect
from edgewise_coordinator.spooled import Spooled
from edgewise_coordinator.state import Report
from edgewise_wire.blobs import make_ref
from edgewise_wire.crypto.enrolled import Register
from edgewise_wire.errors import EdgewiseError, InputError, ProtocolError, RefusedError
from edgewise_wire.messages import (
    Abort,
    Assignment,
    Body,
    ReportAck,
    SecureConsent,
    SecureKeys,
    SecurePledge,
    SecureReveal,
    SecureRoster,
    SecureShares,
    SecureTerms,
    UploadRequest,
)
from edgewise_wire.secure.collector import Collector
from edgewise_wire.secure.form import ENCODING, EXTRA, packed_bytes
from edgewise_wire.secure.graph import plan
from edgewise_wire.secure.words import unpack

log = logging.getLogger("edgewise.coordinator")

UNMASK_SECONDS = 0.2  # so long the loop stays away from its messages while masks come off
SAID = (SecureKeys, SecureShares, SecurePledge, SecureConsent, SecureReveal)


@dataclass(frozen=True, slots=True)
class SecureSettings:
    """How secure rounds run; the devices' part of it is in `terms`.

    Attributes:
        terms: what devices are told, but for the cohort, which the round's settings decide.
        dropout: the share of the roster that may fall silent; decides how dense the graph is.
        step_timeout: seconds for shares, for consents, for opened shares each.
        upload_timeout: seconds for masking and uploading.
    """

    terms: SecureTerms
    dropout: float = 0.25
    step_timeout: float = 30.0
    upload_timeout: float = 120.0


def secure_updates(settings: SecureSettings, register: Register | None = None) -> Collect:
    """Return the secure way of collecting.

    Args:
        settings: how its rounds run.
        register: knows who is enrolled; `None` in a fleet without certificates.
    """

    def collect(context: Context, model: Model, round_id: int) -> SecureUpdates:
        return SecureUpdates(context, context.recipe.size(model.parameters), round_id, settings, register)

    return collect


class SecureUpdates:
    """One secure round.

    Args:
        context: what the coordinator's parts share.
        numbers: how many an update has.
        round_id: of the round.
        settings: how it runs.
        register: knows who is enrolled, where that is known.
    """

    def __init__(
        self, context: Context, numbers: int, round_id: int, settings: SecureSettings, register: Register | None
    ) -> None:
        cohort = context.settings.cohort
        terms = replace(settings.terms, cohort=cohort.target, least=max(2, cohort.least))
        self._context = context
        self._settings = settings
        self._round = round_id
        self._collector = Collector(context.settings.fleet, round_id, terms, register)
        self._log = SecureLog(context.store, context.publisher, context.settings.fleet, round_id)
        self._words = numbers + EXTRA
        self._total = np.zeros(self._words, np.uint32)
        self._heard: list[tuple[str, Body]] = []
        self._files: dict[Path, int] = {}
        self._added: set[int] = set()
        self._answered: set[str] = set()
        self._phase_began = context.clock.now()
        self._last_key = self._phase_began
        self._asked = False
        self._unmasking: Iterator[None] | None = None
        self.pooled: Pooled | None = None
        self._log.replay(self._collector)

    # What a round asks its way of collecting -----------------------------------------------------------------------

    @property
    def terms(self) -> int:
        """How many updates were added."""
        return len(self._added)

    @property
    def update_bytes(self) -> int:
        """How long a masked update is."""
        return packed_bytes(self._words, self._collector.form.modulus_bits)

    def ask(self, template: Assignment, device: str) -> Assignment:
        """Ask for a masked update."""
        return replace(template, encoding=ENCODING, secure=self._collector.terms)

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
        if round_id != self._round or not isinstance(body, SAID):
            return False
        self._heard.append((device, body))
        return True

    def deadline(self) -> float:
        """Return when the phase may have to end, or at once while there is something to do."""
        now = self._context.clock.now()
        if self._heard or self._unmasking is not None:
            return now
        ends = self._phase_began + (
            self._settings.upload_timeout if self._collector.sharers else self._settings.step_timeout
        )
        return ends if ends > now else math.inf

    def forget(self, device: str) -> None:
        """Do nothing: the upload desk has what was sent, and the phases see for themselves who is gone."""

    def end(self) -> None:
        """The round is over: devices that still wait are told, and what was recorded of it goes."""
        roster = self._collector.roster
        survivors = self._collector.survivors
        for number, entry in enumerate(roster.entries if roster else ()):
            if number in survivors and entry.device not in self._answered:
                self._send(entry.device, Abort(entry.attempt, "the round is over", self._away()))
        self._log.end()

    # While devices may still come and go ---------------------------------------------------------------------------

    def tick(self, machine: RoundMachine) -> Sequence[Action]:
        """Take what was heard, and do what the phase asks for."""
        if not machine.phase.open:
            return ()
        actions: list[Action] = self._settle(machine)
        if self._collector.roster is None:
            self._close_keys(machine)
        if self._collector.roster is None:
            return actions
        if not self._collector.sharers:
            actions += self._close_shares(machine)
        elif self._over(self._settings.upload_timeout):
            actions += self._drop(machine, self._missing(machine), "no masked update in time")
        actions += self._drop(machine, self._strangers(machine), "the round has enough devices")
        least = max(machine.settings.least, self._collector.roster.plan.quorum)
        if machine.phase.open and machine.reports + machine.live < least:
            why = f"{machine.reports + machine.live} devices are left of a secure round, it takes {least}"
            return [*actions, *machine.abandon(self._why(machine, why))]
        machine.goal = machine.reports + machine.live  # whoever falls silent now is not replaced
        return actions

    def _settle(self, machine: RoundMachine | None) -> list[Action]:
        """Check what was heard, record all of it at once, then answer."""
        heard, self._heard = self._heard, []
        actions: list[Action] = []
        taken: list[tuple[str, Body]] = []
        for device, body in heard:
            try:
                self._take(device, body, machine)
                taken.append((device, body))
            except (ProtocolError, RefusedError, InputError) as error:
                self._context.link.refused["secure"] += 1
                log.warning("%s: refused in round %d: %s", device, self._round, error)
                if machine is not None:
                    actions += self._drop(machine, [device], str(error))
        try:
            self._log.flush()
        except EdgewiseError:
            self._heard = [*taken, *self._heard]  # not answered: it is taken again, with no more effect than this time
            raise
        if taken:
            self._context.fault(FaultPoint.SECURE_RECORDED)
        for device, body in taken:
            self._answer(device, body)
        return actions

    def _take(self, device: str, body: Body, machine: RoundMachine | None) -> None:
        """Put what a device says where it belongs, and note it; what comes too early or late is answered at the most.

        Raises:
            ProtocolError, RefusedError: if it is not what it must be.
        """
        collector, number = self._collector, self._collector.number(device)
        if isinstance(body, SecureKeys):
            self._take_keys(device, body, machine)
            return
        if number is None:
            return
        if isinstance(body, SecureShares) and not collector.sharers:
            collector.share(number, body.data)
        elif isinstance(body, SecurePledge) and collector.sharers and not collector.survivors:
            collector.pledge(number, body.signature)
        elif isinstance(body, SecureConsent) and body.signature and collector.survivors:
            collector.consent(number, body.signature)
        elif isinstance(body, SecureReveal) and collector.survivors and collector.agreed:
            collector.reveal(number, body)
        else:
            return
        self._log.note(device, body)

    def _take_keys(self, device: str, body: SecureKeys, machine: RoundMachine | None) -> None:
        found = machine.find(device, body.attempt) if machine is not None else None
        if self._collector.roster is not None or machine is None or found is None or not found.status.live:
            return
        machine.accepted(device, body.attempt)
        self._collector.advertise(device, body, self._context.clock.wall())
        self._last_key = self._context.clock.now()
        self._log.note(device, body)

    def _answer(self, device: str, body: Body) -> None:
        """Tell a device what follows on what it said, as far as that is known; a repetition gets the same answer."""
        collector, number = self._collector, self._collector.number(device)
        if collector.roster is None:
            return
        if number is None:
            self._send(device, Abort(getattr(body, "attempt", 0), "the round has enough devices", self._away()))
            return
        attempt = collector.roster.entries[number].attempt
        if isinstance(body, SecureKeys):
            self._send(device, SecureRoster(attempt, make_ref(collector.roster.data)))
        elif isinstance(body, SecureShares) and number in collector.sharers:
            self._send(device, collector.inbox(number, attempt))
        elif isinstance(body, SecureConsent) and number in collector.survivors:
            self._send(device, collector.quorum(attempt) if self._agreed_on(body) else collector.told(number, attempt))
        elif isinstance(body, SecureReveal) and number in collector.revealed:
            self._answered.add(device)
            self._send(device, ReportAck(attempt, accepted=True, come_back=self._away()))

    def _agreed_on(self, body: SecureConsent) -> bool:
        return bool(body.signature) and self._collector.agreed

    def _close_keys(self, machine: RoundMachine) -> None:
        """Fix the roster, if there are enough devices or no more are to be expected."""
        collector, now = self._collector, self._context.clock.now()
        ready = sorted(d for d in collector.keys if (p := machine.participants.get(d)) is not None and p.status.live)
        least, rest = collector.terms.least, self._settings.upload_timeout + 2 * self._settings.step_timeout
        ends = machine.since + max(machine.settings.report_timeout - rest, machine.settings.report_timeout / 2)
        quiet = len(ready) == machine.live and now - self._last_key >= self._settings.step_timeout
        if len(ready) < machine.goal and not (len(ready) >= least and (quiet or now >= ends)):
            return
        if len(ready) < least:
            return
        chosen = ready[: collector.terms.cohort]
        roster = collector.call(chosen, plan(len(chosen), dropout=self._settings.dropout))
        self._log.keep("roster", roster.data)
        self._context.fault(FaultPoint.SECURE_ROSTER)
        self._phase_began = now
        self._log.offer(roster.data)
        for entry in roster.entries:
            self._send(entry.device, SecureRoster(entry.attempt, make_ref(roster.data)))

    def _close_shares(self, machine: RoundMachine) -> list[Action]:
        """Fix who is in the masks, once all have shared or the time is up."""
        collector = self._collector
        assert collector.roster is not None  # noqa: S101  the caller has looked
        missing = [d for d in self._alive(machine) if collector.number(d) not in collector.shares]
        if missing and not self._over(self._settings.step_timeout):
            return []
        actions = self._drop(machine, missing, "did not share its secrets in time")
        sharers = frozenset(n for d in self._alive(machine) if (n := collector.number(d)) is not None)
        if len(sharers) < max(machine.settings.least, collector.roster.plan.quorum):
            return actions  # `tick` sees that too few are left
        collector.close_sharing(sharers)
        self._log.keep("sharers", collector.roll(sharers))
        self._context.fault(FaultPoint.SECURE_SHARERS)
        self._phase_began = self._context.clock.now()
        for number in sorted(sharers):
            entry = collector.roster.entries[number]
            self._send(entry.device, collector.inbox(number, entry.attempt))
        return actions

    def _alive(self, machine: RoundMachine) -> list[str]:
        """Return the devices of the roster of which an update may still come."""
        return sorted(p.device for p in machine.participants.values() if p.status.live and self._belongs(p.device))

    def _belongs(self, device: str) -> bool:
        number = self._collector.number(device)
        return number is not None and (not self._collector.sharers or number in self._collector.sharers)

    def _strangers(self, machine: RoundMachine) -> list[str]:
        return [p.device for p in machine.participants.values() if p.status.live and not self._belongs(p.device)]

    def _missing(self, machine: RoundMachine) -> list[str]:
        return self._alive(machine)

    def _drop(self, machine: RoundMachine, devices: Sequence[str], reason: str) -> list[Action]:
        dropped: list[Action] = []
        for device in devices:
            found = machine.participants.get(device)
            if found is not None and found.status.live:
                machine.failed(device, found.attempt, reason)
                dropped.append(Drop(device, found.attempt, reason[:500]))
        return dropped

    def _why(self, machine: RoundMachine, what: str) -> str:
        reasons = sorted({p.reason for p in machine.participants.values() if p.reason})
        return what + (f" ({'; '.join(reasons[:5])})" if reasons else "")

    # When the updates are in ---------------------------------------------------------------------------------------

    def finish(self, reports: Sequence[Report]) -> Aggregate | None:
        """Return the mean, once a quorum agrees and has opened enough shares for the masks to come off.

        Raises:
            CollectionError: if it does not in time, or what it opens does not fit.
        """
        self._settle(None)
        if not self._collector.survivors:
            self._close_masks(reports)
        if not self._collector.agreed:
            self._wait(f"{len(self._collector.consents)} devices agree on who survived, it takes a quorum of")
            return None
        if not self._asked:
            self._ask_to_open()
        if not self._collector.openable:
            self._wait(f"{len(self._collector.revealed)} devices have opened the shares that they hold, not")
            return None
        return self._unmask()

    def _close_masks(self, reports: Sequence[Report]) -> None:
        collector = self._collector
        survivors = frozenset(n for r in reports if (n := collector.number(r.device)) is not None)
        try:
            collector.close_masking(survivors)
        except InputError as error:
            raise CollectionError(str(error)) from error
        self._log.keep("survivors", collector.roll(survivors))
        self._context.fault(FaultPoint.SECURE_SURVIVORS)
        self._phase_began = self._context.clock.now()
        self._tell_survivors()

    def _tell_survivors(self) -> None:
        for number, device, attempt in self._survivors():
            self._send(device, self._collector.told(number, attempt))

    def _ask_to_open(self) -> None:
        self._asked = True
        self._phase_began = self._context.clock.now()
        for _, device, attempt in self._survivors():
            self._send(device, self._collector.quorum(attempt))

    def _survivors(self) -> list[tuple[int, str, int]]:
        roster = self._collector.roster
        entries = roster.entries if roster is not None else ()
        return [(n, entries[n].device, entries[n].attempt) for n in sorted(self._collector.survivors)]

    def _wait(self, what: str) -> None:
        if self._over(self._settings.step_timeout):
            quorum = self._collector.roster.plan.quorum if self._collector.roster is not None else 0
            raise CollectionError(f"secure sum of {len(self._collector.survivors)} updates: {what} {quorum}")

    def _unmask(self) -> Aggregate | None:
        collector = self._collector
        if self._unmasking is None:
            self._context.fault(FaultPoint.SECURE_OPENABLE)
            self._unmasking = collector.unmask(self._total)
        until = self._context.clock.now() + UNMASK_SECONDS
        try:
            for _ in self._unmasking:
                if self._context.clock.now() >= until:
                    return None
            found = collector.form.decode(self._total, len(collector.survivors))
        except (ProtocolError, RefusedError) as error:
            raise CollectionError(str(error)) from error
        self._unmasking = None
        self.pooled = Pooled(found.weight, found.loss)
        return Aggregate(found.mean, len(collector.survivors), found.weight)

    # Words ---------------------------------------------------------------------------------------------------------

    def _over(self, seconds: float) -> bool:
        return self._context.clock.now() - self._phase_began >= seconds

    def _send(self, device: str, body: Body) -> None:
        self._context.link.send(device, body, self._round)

    def _away(self) -> float:
        return self._context.pace.accepted(self._context.fleet.online_count)
