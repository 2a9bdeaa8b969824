"""What an operator asks a running coordinator: one plain object, taken about once a second.

It is written to `status.json` in the coordinator's directory, where `edgewise status` reads it, and is what the metrics
are made of. So nobody outside the coordinator's own loop ever touches its state.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from edgewise_coordinator.fleet import DeviceRecord
from edgewise_coordinator.machine import Participant, Phase, Status
from edgewise_wire.errors import ConfigError
from edgewise_wire.messages import Kind

if TYPE_CHECKING:
    from edgewise_coordinator.active_round import ActiveRound
    from edgewise_coordinator.server import Coordinator

FILE = "status.json"
STALE_SECONDS = 15.0  # an honest coordinator writes every second; a loaded machine may take its time
DEVICES_SHOWN = 1000
ROUNDS_SHOWN = 5

Snapshot: TypeAlias = dict[str, Any]


def take(coordinator: Coordinator, rows: Sequence[Mapping[str, Any]], broker_refused: Mapping[str, int]) -> Snapshot:
    """Return what is going on; `rows` are the finished rounds' lines (`history`)."""
    c, link = coordinator, coordinator.link
    trained = [row for row in rows if row["round"]]
    return {
        "time": c.clock.wall(),
        "pid": os.getpid(),
        "fleet": c.settings.fleet,
        "doing": c.describe(),
        "connected": link.up,
        "paused": c.pause.reason if c.pause.active else "",
        "version": c.version,
        "rounds_wanted": c.settings.rounds,
        "rounds": {
            phase.value: sum(row["phase"] == phase.value for row in trained)
            for phase in (Phase.COMMITTED, Phase.ABANDONED)
        },
        "round": _round(c),
        "devices": {
            "known": c.fleet.known,
            "online": c.fleet.online_count,
            "available": c.fleet.available(),
            "doubled": c.fleet.doubled,
        },
        "fleet_devices": [
            {"device": r.name, "state": _state(r), "round": r.last_round} for r in c.fleet.online_records(DEVICES_SHOWN)
        ],
        "bytes": {"up": link.bytes_up, "down": c.bytes_down},
        "unsent": link.unsent,
        "refused": dict(link.refused),
        "broker_refused": dict(broker_refused),
        "privacy": c.privacy.standing(),
        "last_rounds": [dict(row) for row in rows[-ROUNDS_SHOWN:]],
    }  # fmt: skip


def _state(record: DeviceRecord) -> str:
    if record.busy:
        return "at work"
    return "available" if record.offer is not None else "waiting"


def _round(c: Coordinator) -> dict[str, Any] | None:
    if c.round is None:
        return None
    machine = c.round.machine
    return {
        "id": c.round.round_id,
        "number": c.round.number,
        "kind": "evaluate" if machine.kind is Kind.EVALUATE else "train",
        "phase": machine.phase.value,
        "goal": machine.goal,
        "reports": machine.reports,
        "at_work": machine.live,
        "selected": len(machine.participants),
        "seconds": c.clock.now() - c.round.started,
        "participants": _participants(c.round),
    }


def round_states(c: Coordinator) -> list[str]:
    """Return what each participant of the round in front does, by name; at most `DEVICES_SHOWN`."""
    return [p["state"] for p in _participants(c.round)] if c.round is not None else []


def _participants(current: ActiveRound) -> list[dict[str, str]]:
    members = sorted(current.machine.participants.values(), key=lambda p: p.device)[:DEVICES_SHOWN]
    return [{"device": p.device, "state": _work(current, p), "reason": p.reason} for p in members]


def _work(current: ActiveRound, participant: Participant) -> str:
    """Return what a participant does, in a word: assigned, training, uploading, reported, failed."""
    if participant.status is not Status.ACCEPTED:
        return str(participant.status.value)
    if participant.offline_since is not None:
        return "offline"
    return "uploading" if current.desk.receiving(participant.device) else "training"


def illness(snapshot: Snapshot | None, now: float) -> str:
    """Return why a coordinator is not well, or nothing."""
    if snapshot is None:
        return "it has not said anything yet"
    if now - snapshot["time"] > STALE_SECONDS:
        return f"it has not said anything for {now - snapshot['time']:.0f} s"
    if snapshot["paused"]:
        return f"paused: {snapshot['paused']}"
    return "" if snapshot["connected"] else "the link to the broker is down"


def write(directory: Path, snapshot: Snapshot) -> None:
    """Replace the file; a full disk is no reason to stop."""
    beside = directory / f".{FILE}.new"
    try:
        beside.write_text(json.dumps(snapshot) + "\n", "utf-8")
        beside.replace(directory / FILE)
    except OSError:
        return


def read(directory: Path) -> Snapshot:
    """Return what a coordinator last wrote.

    Raises:
        ConfigError: if none ever ran there.
    """
    try:
        found = json.loads((directory / FILE).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{directory}: no coordinator has run there ({error}); name its --dir") from error
    return dict(found)
