"""From masked updates to their sum: who survived, a quorum that agrees, opened shares, and the masks come off."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from edgewise_coordinator.algorithms.base import Aggregate
from edgewise_coordinator.collecting.base import CollectionError, Pooled
from edgewise_coordinator.collecting.secure_round import SecureRound
from edgewise_coordinator.faults import FaultPoint
from edgewise_coordinator.state import Report
from edgewise_wire.errors import InputError, ProtocolError, RefusedError, RunError
from edgewise_wire.secure.words import Words

UNMASK_SECONDS = 0.2  # so long the loop stays away from its messages while masks come off


class SecureOpening:
    """Moves a round that has its updates on to its mean.

    Attributes:
        pooled: what the sum says of all devices, once it is read.
    """

    def __init__(self, round: SecureRound) -> None:
        self._round = round
        self._collector = round.collector
        self._asked = False
        self._unmasking: Iterator[None] | None = None
        self.pooled: Pooled | None = None

    @property
    def busy(self) -> bool:
        """Whether masks are coming off."""
        return self._unmasking is not None

    def advance(self, total: Words, reports: Sequence[Report]) -> Aggregate | None:
        """Return the mean, or `None` as long as further messages or masks are awaited.

        Args:
            total: uint32[parameters + 2], the masked sum; the masks come off in place.
            reports: of the round.

        Raises:
            CollectionError: if it never comes to one.
        """
        collector = self._collector
        if not collector.survivors:
            self._close_masks(reports)
        if not collector.agreed:
            self._wait(f"{len(collector.consents)} devices agree on who survived, it takes a quorum of")
            return None
        if not self._asked:
            self._ask_to_open()
        if not collector.openable:
            self._wait(f"{len(collector.revealed)} devices have opened the shares that they hold, not")
            return None
        return self._unmask(total)

    def _close_masks(self, reports: Sequence[Report]) -> None:
        collector = self._collector
        survivors = frozenset(n for r in reports if (n := collector.number(r.device)) is not None)
        try:
            collector.close_masking(survivors)
        except InputError as error:
            raise CollectionError(str(error)) from error
        self._round.log.keep("survivors", collector.roll(survivors))
        self._round.context.fault(FaultPoint.SECURE_SURVIVORS)
        self._round.begin_phase()
        for number, device, attempt in self._round.survivors():
            self._round.send(device, collector.told(number, attempt))

    def _ask_to_open(self) -> None:
        self._asked = True
        self._round.begin_phase()
        for _, device, attempt in self._round.survivors():
            self._round.send(device, self._collector.quorum(attempt))

    def _wait(self, what: str) -> None:
        collector = self._collector
        if self._round.over(self._round.settings.step_timeout):
            quorum = collector.roster.plan.quorum if collector.roster is not None else 0
            raise CollectionError(f"secure sum of {len(collector.survivors)} updates: {what} {quorum}")

    def _unmask(self, total: Words) -> Aggregate | None:
        collector, clock = self._collector, self._round.context.clock
        try:
            if self._unmasking is None:
                self._round.context.fault(FaultPoint.SECURE_OPENABLE)
                self._spend()
                self._unmasking = collector.unmask(total)
            until = clock.now() + UNMASK_SECONDS
            for _ in self._unmasking:
                if clock.now() >= until:
                    return None
            found = collector.form.decode(total, len(collector.survivors))
        except (ProtocolError, RefusedError, RunError) as error:
            raise CollectionError(str(error)) from error
        self._unmasking = None
        self.pooled = Pooled(found.weight, None if collector.terms.noise else found.loss)
        return Aggregate(found.mean, len(collector.survivors), found.weight)

    def _spend(self) -> None:
        """Record what the sum costs before it can be read: a coordinator that is killed after that has spent it."""
        context, number = self._round.context, self._round.number
        asked = len(context.store.participants(number))
        context.privacy.spend(number, len(self._collector.survivors), asked)
        context.fault(FaultPoint.SECURE_SPENT)
