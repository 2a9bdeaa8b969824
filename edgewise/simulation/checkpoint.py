"""Where a simulation stands between two rounds, in memory and as one file."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewise.simulation.kept_files import read_arrays
from edgewise.simulation.private import Spent
from edgewise.simulation.roster import Kept
from edgewise.simulation.timeline import Event, Moment
from edgewise_coordinator.machine import Participant, Status
from edgewise_wire.errors import DataError, UnavailableError
from edgewise_wire.files import write_durably
from edgewise_wire.weights import Flat

FORMAT = 1


@dataclass(slots=True)
class Checkpoint:
    """All that the next round depends on, besides what the run was started with.

    Attributes:
        weights: of the newest version, as devices get them.
        exact: as the algorithm made them (see `edgewise_coordinator.downlink`).
        algorithm: its state.
        moment: of the virtual fleet.
        took_part: how often each device's report counted.
        version, round_id, number: of versions, of rounds with evaluations, of training rounds.
        abandoned: rounds in a row.
        counted: device to the last round whose report became part of a version, where devices keep something.
        older: versions that devices at work started from.
        rows: how many lines of the history belong to it.
        spent: what a private run has released.
    """

    weights: Flat
    exact: Flat
    algorithm: dict[str, Any]
    moment: Moment
    took_part: NDArray[np.int64]
    version: int = 0
    round_id: int = 0
    number: int = 0
    abandoned: int = 0
    counted: dict[int, int] = field(default_factory=dict)
    older: dict[int, Flat] = field(default_factory=dict)
    rows: int = 0
    spent: Spent = field(default_factory=Spent)


def save(state: Checkpoint, path: Path, *, synced: bool = True) -> None:
    """Write a checkpoint in the place of the one before, or leave that one.

    Args:
        state: of the simulation.
        path: where it goes.
        synced: so that a power cut leaves one or the other; without it a killed process still does, and a round that
            takes a hundredth of a second does not wait for the disk.

    Raises:
        UnavailableError: if the disk refuses.
    """
    arrays: dict[str, Any] = {
        "weights": state.weights, "exact": state.exact, "took_part": state.took_part,
        "busy": state.moment.kept.busy, "last_round": state.moment.kept.last_round,
    }  # fmt: skip
    plain = {name: value for name, value in state.algorithm.items() if not isinstance(value, np.ndarray)}
    arrays |= {f"algorithm/{n}": value for n, value in state.algorithm.items() if isinstance(value, np.ndarray)}
    arrays |= {f"older/{version}": weights for version, weights in state.older.items()}
    carried = [
        [p.device, p.attempt, p.status.value, p.since, p.offline_since, p.reason, p.round_id, p.version]
        for p in state.moment.carried
    ]
    facts = {
        "format": FORMAT, "version": state.version, "round_id": state.round_id, "number": state.number,
        "abandoned": state.abandoned, "rows": state.rows, "counted": sorted(state.counted.items()),
        "now": state.moment.now, "events": state.moment.events, "carried": carried, "algorithm": plain,
        "spent": state.spent,
    }  # fmt: skip
    arrays["facts"] = np.frombuffer(json.dumps(facts).encode(), np.uint8)
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    if synced:
        write_durably(path, buffer.getbuffer())
        return
    part = path.with_suffix(".part")
    try:
        part.write_bytes(buffer.getbuffer())
        part.replace(path)
    except OSError as error:
        raise UnavailableError(f"{path}: cannot be written ({error.strerror}); free space") from error


def load(path: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        DataError: if it is not there or not one.
    """
    arrays = read_arrays(path)
    try:
        facts = json.loads(arrays["facts"].tobytes())
        if facts["format"] != FORMAT:
            raise ValueError(f"format {facts['format']}, expected {FORMAT}")
    except (ValueError, KeyError) as error:
        raise DataError(f"{path}: no checkpoint of a simulation ({error})") from error
    carried = [
        Participant(d, a, Status(s), since, off, why, r, v) for d, a, s, since, off, why, r, v in facts["carried"]
    ]
    events = [Event(*event) for event in facts["events"]]
    moment = Moment(facts["now"], Kept(arrays["busy"], arrays["last_round"]), events, carried)
    algorithm = {name.partition("/")[2]: array for name, array in arrays.items() if name.startswith("algorithm/")}
    return Checkpoint(
        weights=arrays["weights"], exact=arrays["exact"], algorithm={**algorithm, **facts["algorithm"]},
        moment=moment, took_part=arrays["took_part"], version=facts["version"], round_id=facts["round_id"],
        number=facts["number"], abandoned=facts["abandoned"], counted={int(d): int(r) for d, r in facts["counted"]},
        older={int(n.partition("/")[2]): a for n, a in arrays.items() if n.startswith("older/")}, rows=facts["rows"],
        spent=_spent(facts),
    )  # fmt: skip


def _spent(facts: dict[str, Any]) -> Spent:
    """Return what was released: nothing where the run was begun before simulations could promise anything."""
    asked, clip = facts.get("spent", Spent())
    return Spent(tuple(asked), clip)
