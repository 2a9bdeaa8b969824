"""What devices say in a secure round: checked, all of it recorded at once, and answered after that."""

from __future__ import annotations

import logging

from edgewise_coordinator.collecting.secure_round import SecureRound
from edgewise_coordinator.faults import FaultPoint
from edgewise_coordinator.machine import RoundMachine
from edgewise_wire.blobs import make_ref
from edgewise_wire.errors import EdgewiseError, InputError, ProtocolError, RefusedError
from edgewise_wire.messages import (
    Abort,
    Body,
    ReportAck,
    SecureConsent,
    SecureKeys,
    SecurePledge,
    SecureReveal,
    SecureRoster,
    SecureShares,
)

log = logging.getLogger("edgewise.coordinator")

SAID = (SecureKeys, SecureShares, SecurePledge, SecureConsent, SecureReveal)


class SecureTalk:
    """Takes messages as they come, and looks at them when the clock next is.

    Attributes:
        last_key: when the last device advertised its keys.
        answered: the devices that know that all is done.
    """

    def __init__(self, round: SecureRound) -> None:
        self._round = round
        self._collector = round.collector
        self._heard: list[tuple[str, Body]] = []
        self.last_key = round.context.clock.now()
        self.answered: set[str] = set()

    @property
    def waiting(self) -> bool:
        """Whether something was said that nobody has looked at."""
        return bool(self._heard)

    def hear(self, device: str, body: Body) -> bool:
        """Take a message; return whether it is one of a secure round."""
        if not isinstance(body, SAID):
            return False
        self._heard.append((device, body))
        return True

    def settle(self, machine: RoundMachine | None) -> dict[str, str]:
        """Check what was heard, record all of it at once, then answer.

        Args:
            machine: of the round; `None` once it has its reports.

        Returns:
            Why what a device said was refused, by its name.
        """
        heard, self._heard = self._heard, []
        refused: dict[str, str] = {}
        taken: list[tuple[str, Body]] = []
        for device, body in heard:
            try:
                self._take(device, body, machine)
                taken.append((device, body))
            except (ProtocolError, RefusedError, InputError) as error:
                self._round.context.link.refused["secure"] += 1
                log.warning("%s: refused in round %d: %s", device, self._round.number, error)
                refused[device] = str(error)
        try:
            self._round.log.flush()
        except EdgewiseError:
            self._heard = [*taken, *self._heard]  # not answered: it is taken again, with no more effect than this time
            raise
        if taken:
            self._round.context.fault(FaultPoint.SECURE_RECORDED)
        for device, body in taken:
            self._answer(device, body)
        return refused

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
        self._round.log.note(device, body)

    def _take_keys(self, device: str, body: SecureKeys, machine: RoundMachine | None) -> None:
        found = machine.find(device, body.attempt) if machine is not None else None
        if self._collector.roster is not None or machine is None or found is None or not found.status.live:
            return
        machine.accepted(device, body.attempt)
        clock = self._round.context.clock
        self._collector.advertise(device, body, clock.wall())
        self.last_key = clock.now()
        self._round.log.note(device, body)

    def _answer(self, device: str, body: Body) -> None:
        """Tell a device what follows on what it said, as far as that is known; a repetition gets the same answer."""
        collector, number, send = self._collector, self._collector.number(device), self._round.send
        if collector.roster is None:
            return
        if number is None:
            send(device, Abort(getattr(body, "attempt", 0), "the round has enough devices", self._round.away()))
            return
        attempt = collector.roster.entries[number].attempt
        if isinstance(body, SecureKeys):
            send(device, SecureRoster(attempt, make_ref(collector.roster.data)))
        elif isinstance(body, SecureShares) and number in collector.sharers:
            send(device, collector.inbox(number, attempt))
        elif isinstance(body, SecureConsent) and number in collector.survivors:
            agreed = bool(body.signature) and collector.agreed
            send(device, collector.quorum(attempt) if agreed else collector.told(number, attempt))
        elif isinstance(body, SecureReveal) and number in collector.revealed:
            self.answered.add(device)
            send(device, ReportAck(attempt, accepted=True, come_back=self._round.away()))
