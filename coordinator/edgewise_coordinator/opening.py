"""What a round is made of when it begins, or is taken up again: a machine, an upload desk, a way of collecting."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from edgewise_coordinator.active_round import ActiveRound
from edgewise_coordinator.buffered import BufferMachine
from edgewise_coordinator.collecting.base import Collection
from edgewise_coordinator.collecting.measures import NoUpdates
from edgewise_coordinator.context import Context
from edgewise_coordinator.machine import RoundMachine
from edgewise_coordinator.model import Model
from edgewise_coordinator.safekeeping import Safekeeping
from edgewise_coordinator.selection.uniform import uniform
from edgewise_coordinator.uploads import UploadDesk
from edgewise_wire.files import make_folder
from edgewise_wire.messages import Kind

SPOOL = "spool"
BUFFER = "buffer"  # the spool of buffered rounds: an upload may begin in one and end in the next


Collect: TypeAlias = Callable[[Context, Model, int], Collection]
"""`collect(context, model, round_id)`: the way of collecting of one training round."""


class Opening:
    """Makes rounds of the model's newest version; what they take in goes to safekeeping."""

    def __init__(self, context: Context, model: Model, safekeeping: Safekeeping, collect: Collect) -> None:
        self._context = context
        self._collect = collect
        self._model = model
        self._safekeeping = safekeeping

    def round(self, kind: Kind, round_id: int) -> ActiveRound:
        """Return a round that has a row already."""
        context = self._context
        buffered = kind is Kind.TRAIN and context.settings.buffer is not None
        bytes_down_before = context.bytes_down
        spool = make_folder(context.directory / SPOOL / (BUFFER if buffered else f"{round_id:06}"))
        return ActiveRound(
            machine=self._buffer(round_id) if buffered else self._cohort(kind, round_id),
            version=self._model.version,
            graph=self._model.offers.graph,
            offer=self._model.offer({p.version for p in context.rounds.carried if p.status.live}),
            desk=self._lasting_desk(round_id, spool) if buffered else self._desk(round_id, spool),
            spool=spool,
            collection=NoUpdates() if kind is Kind.EVALUATE else self._collect(context, self._model, round_id),
            started=context.clock.now(),
            begun=context.store.begun_at(round_id),
            bytes_up_before=context.link.bytes_up,
            bytes_down_before=bytes_down_before,
        )

    def _cohort(self, kind: Kind, round_id: int) -> RoundMachine:
        context, settings = self._context, self._context.settings
        cohort, number = settings.cohort, context.privacy.number(round_id, context.store.round_number(round_id))
        if kind is Kind.TRAIN:
            return RoundMachine(round_id, kind, cohort, context.selection, context.clock, settings.seed, number=number)
        brief = replace(cohort, min_reports=1, report_timeout=settings.evaluation_timeout)
        return RoundMachine(
            round_id, kind, brief, uniform, context.clock, settings.seed,
            everyone=True, most=settings.evaluation_devices, number=number,
        )  # fmt: skip

    def _buffer(self, round_id: int) -> BufferMachine:
        context, settings, buffer = self._context, self._context.settings, self._context.settings.buffer
        assert buffer is not None  # noqa: S101  the caller has looked
        machine = BufferMachine(
            round_id, Kind.TRAIN, settings.cohort, context.selection, context.clock, settings.seed,
            number=context.store.round_number(round_id), concurrency=buffer.concurrency,
            max_staleness=buffer.max_staleness, version=self._model.version,
        )  # fmt: skip
        machine.take_over(context.rounds.carried)
        context.store.configure_round(round_id, machine.goal, [])  # it is open from the start, a restart must know
        return machine

    def _lasting_desk(self, round_id: int, spool: Path) -> UploadDesk:
        """Return the desk of all buffered rounds of this process."""
        rounds = self._context.rounds
        if rounds.desk is None:
            rounds.desk = self._desk(round_id, spool)
        return rounds.desk

    def _desk(self, round_id: int, spool: Path) -> UploadDesk:
        context = self._context
        return UploadDesk(
            spool,
            context.settings.uploads,
            context.clock,
            lambda device, body: context.link.send(device, body, context.rounds.number_for(device, round_id)),
            self._safekeeping.update,
            self._safekeeping.refuse,
            context.fault,
        )
