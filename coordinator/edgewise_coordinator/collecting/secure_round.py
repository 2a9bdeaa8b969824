"""What the phases of one secure round share: the collector, the record, the clock of a phase, the way to devices."""

from __future__ import annotations

from dataclasses import dataclass, replace

from edgewise_coordinator.collecting.secure_log import SecureLog
from edgewise_coordinator.context import Context
from edgewise_wire.crypto.enrolled import Register
from edgewise_wire.messages import Body, SecureTerms
from edgewise_wire.secure.collector import Collector


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


class SecureRound:
    """One secure round as its phases see it.

    Args:
        context: what the coordinator's parts share.
        round_id: of the round.
        settings: how it runs.
        register: knows who is enrolled, where that is known.
    """

    def __init__(self, context: Context, round_id: int, settings: SecureSettings, register: Register | None) -> None:
        cohort, fleet = context.settings.cohort, context.settings.fleet
        terms = replace(settings.terms, cohort=cohort.target, least=max(2, cohort.least))
        self.context, self.settings, self.number = context, settings, round_id
        self.collector = Collector(fleet, round_id, terms, register)
        self.log = SecureLog(context.store, context.publisher, fleet, round_id)
        self._phase_began = context.clock.now()
        self.log.replay(self.collector)

    def begin_phase(self) -> None:
        """A phase begins now."""
        self._phase_began = self.context.clock.now()

    def over(self, seconds: float) -> bool:
        """Return whether the phase has lasted so long."""
        return self.context.clock.now() - self._phase_began >= seconds

    @property
    def phase_ends(self) -> float:
        """When the time of the phase is up."""
        settings = self.settings
        return self._phase_began + (settings.upload_timeout if self.collector.sharers else settings.step_timeout)

    def send(self, device: str, body: Body) -> None:
        """Tell a device something about this round."""
        self.context.link.send(device, body, self.number)

    def away(self) -> float:
        """Return for how many seconds a device that is done may stay away."""
        return self.context.pace.accepted(self.context.fleet.online_count)

    def survivors(self) -> list[tuple[int, str, int]]:
        """Return number, name and attempt of every device whose update is in the sum."""
        roster = self.collector.roster
        entries = roster.entries if roster is not None else ()
        return [(n, entries[n].device, entries[n].attempt) for n in sorted(self.collector.survivors)]
