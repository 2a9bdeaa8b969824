"""Who is in a secure round: its roster, its sharers, and what happens to those who fall silent before the sum."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgewise_coordinator.collecting.secure_round import SecureRound
from edgewise_coordinator.faults import FaultPoint
from edgewise_coordinator.machine import Action, Drop, RoundMachine
from edgewise_wire.blobs import make_ref
from edgewise_wire.messages import SecureRoster
from edgewise_wire.secure.graph import plan


class SecureJoining:
    """Moves a round on through its keys, shares and masks, while devices may still come and go."""

    def __init__(self, round: SecureRound) -> None:
        self._round = round
        self._collector = round.collector

    def tick(self, machine: RoundMachine, refused: Mapping[str, str], last_key: float) -> list[Action]:
        """Do what the phase asks for.

        Args:
            machine: of the round, which is open.
            refused: devices that are out for what they said, and why.
            last_key: when the last device advertised its keys.
        """
        collector = self._collector
        actions = [drop for device, why in refused.items() for drop in self._drop(machine, [device], why)]
        if collector.roster is None:
            self._close_keys(machine, last_key)
        if collector.roster is None:
            return actions
        if not collector.sharers:
            actions += self._close_shares(machine)
        elif self._round.over(self._round.settings.upload_timeout):
            actions += self._drop(machine, self._alive(machine), "no masked update in time")
        actions += self._drop(machine, self._strangers(machine), "the round has enough devices")
        least = max(machine.settings.least, collector.roster.plan.quorum)
        if machine.phase.open and machine.reports + machine.live < least:
            why = f"{machine.reports + machine.live} devices are left of a secure round, it takes {least}"
            return [*actions, *machine.abandon(_why(machine, why))]
        machine.goal = machine.reports + machine.live  # whoever falls silent now is not replaced
        return actions

    def _close_keys(self, machine: RoundMachine, last_key: float) -> None:
        """Fix the roster, if there are enough devices or no more are to be expected."""
        collector, settings, now = self._collector, self._round.settings, self._round.context.clock.now()
        ready = sorted(d for d in collector.keys if (p := machine.participants.get(d)) is not None and p.status.live)
        least, rest = collector.terms.least, settings.upload_timeout + 2 * settings.step_timeout
        ends = machine.since + max(machine.settings.report_timeout - rest, machine.settings.report_timeout / 2)
        quiet = len(ready) == machine.live and now - last_key >= settings.step_timeout
        enough = len(ready) >= machine.goal or quiet or now >= ends
        if not enough or len(ready) < least:
            return
        chosen = ready[: collector.terms.cohort]
        roster = collector.call(chosen, plan(len(chosen), dropout=settings.dropout))
        self._round.log.keep("roster", roster.data)
        self._round.context.fault(FaultPoint.SECURE_ROSTER)
        self._round.begin_phase()
        self._round.log.offer(roster.data)
        for entry in roster.entries:
            self._round.send(entry.device, SecureRoster(entry.attempt, make_ref(roster.data)))

    def _close_shares(self, machine: RoundMachine) -> list[Action]:
        """Fix who is in the masks, once all have shared or the time is up."""
        collector = self._collector
        assert collector.roster is not None  # noqa: S101  the caller has looked
        missing = [d for d in self._alive(machine) if collector.number(d) not in collector.shares]
        if missing and not self._round.over(self._round.settings.step_timeout):
            return []
        actions = self._drop(machine, missing, "did not share its secrets in time")
        sharers = frozenset(n for d in self._alive(machine) if (n := collector.number(d)) is not None)
        if len(sharers) < max(machine.settings.least, collector.roster.plan.quorum):
            return actions  # `tick` sees that too few are left
        collector.close_sharing(sharers)
        self._round.log.keep("sharers", collector.roll(sharers))
        self._round.context.fault(FaultPoint.SECURE_SHARERS)
        self._round.begin_phase()
        for number in sorted(sharers):
            entry = collector.roster.entries[number]
            self._round.send(entry.device, collector.inbox(number, entry.attempt))
        return actions

    def _alive(self, machine: RoundMachine) -> list[str]:
        """Return the devices of the roster of which an update may still come."""
        return sorted(p.device for p in machine.participants.values() if p.status.live and self._belongs(p.device))

    def _strangers(self, machine: RoundMachine) -> list[str]:
        return [p.device for p in machine.participants.values() if p.status.live and not self._belongs(p.device)]

    def _belongs(self, device: str) -> bool:
        number = self._collector.number(device)
        return number is not None and (not self._collector.sharers or number in self._collector.sharers)

    def _drop(self, machine: RoundMachine, devices: Sequence[str], reason: str) -> list[Action]:
        dropped: list[Action] = []
        for device in devices:
            found = machine.participants.get(device)
            if found is not None and found.status.live:
                machine.failed(device, found.attempt, reason)
                dropped.append(Drop(device, found.attempt, reason[:500]))
        return dropped


def _why(machine: RoundMachine, what: str) -> str:
    reasons = sorted({p.reason for p in machine.participants.values() if p.reason})
    return what + (f" ({'; '.join(reasons[:5])})" if reasons else "")
