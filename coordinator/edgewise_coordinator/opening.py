"""What a round is made of when it begins, or is taken up again: a machine, an upload desk, blobs on offer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgewise_coordinator.active_round import ActiveRound
from edgewise_coordinator.buffered import BufferMachine
from edgewise_coordinator.decoding import Decoder, open_decoder
from edgewise_coordinator.machine import RoundMachine
from edgewise_coordinator.offers import Offer
from edgewise_coordinator.selection.uniform import uniform
from edgewise_coordinator.uploads import UploadDesk
from edgewise_wire.files import make_folder
from edgewise_wire.messages import Kind
from edgewise_wire.weights import to_bytes

if TYPE_CHECKING:
    from edgewise_coordinator.server import Coordinator

BUFFER = "buffer"  # the spool of buffered rounds: an upload may begin in one and end in the next


def open_round(server: Coordinator, kind: Kind, round_id: int) -> ActiveRound:
    """Return a round of the coordinator's newest version; it has a row already."""
    buffered = kind is Kind.TRAIN and server.settings.buffer is not None
    bytes_down_before = server.bytes_down
    spool = make_folder(server.directory / "spool" / (BUFFER if buffered else f"{round_id:06}"))
    return ActiveRound(
        machine=_buffer(server, round_id) if buffered else _cohort(server, kind, round_id),
        version=server.version,
        graph=server.offers.graph,
        offer=_offer(server),
        desk=_lasting_desk(server, round_id, spool) if buffered else _desk(server, round_id, spool),
        spool=spool,
        decoder=_decoder(server, kind, round_id),
        total=server.recipe.start(server.parameters if kind is Kind.TRAIN else 0),
        started=server.clock.now(),
        bytes_up_before=server.link.bytes_up,
        bytes_down_before=bytes_down_before,
    )


def _cohort(server: Coordinator, kind: Kind, round_id: int) -> RoundMachine:
    settings = server.settings
    cohort, number = settings.cohort, server.store.round_number(round_id)
    if kind is Kind.TRAIN:
        return RoundMachine(round_id, kind, cohort, server.selection, server.clock, settings.seed, number=number)
    brief = replace(cohort, min_reports=1, report_timeout=settings.evaluation_timeout)
    return RoundMachine(round_id, kind, brief, uniform, server.clock, settings.seed, everyone=True, number=number)


def _buffer(server: Coordinator, round_id: int) -> BufferMachine:
    settings, buffer = server.settings, server.settings.buffer
    assert buffer is not None  # noqa: S101  the caller has looked
    machine = BufferMachine(
        round_id, Kind.TRAIN, settings.cohort, server.selection, server.clock, settings.seed,
        number=server.store.round_number(round_id), concurrency=buffer.concurrency,
        max_staleness=buffer.max_staleness, version=server.version,
    )  # fmt: skip
    machine.take_over(server.carried)
    server.store.configure_round(round_id, machine.goal, [])  # it is open from the start, a restart must know
    return machine


def _lasting_desk(server: Coordinator, round_id: int, spool: Path) -> UploadDesk:
    """Return the desk of all buffered rounds of this process."""
    if server.desk is None:
        server.desk = _desk(server, round_id, spool)
    return server.desk


def _desk(server: Coordinator, round_id: int, spool: Path) -> UploadDesk:
    return UploadDesk(
        spool,
        server.settings.uploads,
        server.clock,
        lambda device, body: server.link.send(device, body, server.round_of(device, round_id)),
        server.safekeeping.update,
        server.safekeeping.refuse,
        server.fault,
    )


def _decoder(server: Coordinator, kind: Kind, round_id: int) -> Decoder:
    encoding, seed = server.settings.training.encoding, server.settings.seed
    numbers = server.recipe.size(server.parameters)
    if kind is Kind.EVALUATE:
        return Decoder("float32", seed, round_id, numbers)
    return open_decoder(server.store, encoding, seed, round_id, numbers)


def _offer(server: Coordinator) -> Offer:
    """Offer the newest version, and those older ones that devices of a buffer still work on."""
    older = {p.version for p in server.carried if p.status.live} - {server.version}
    for version in sorted(older):
        server.offers.put(version, server.versions.path(version))
    control, steps = server.controls.blob(server.state), server.downlink.steps(server.version, server.weights)
    newest = server.offers.put(server.version, to_bytes(server.weights), control, steps)
    server.offers.keep({server.version, *older})
    return newest
