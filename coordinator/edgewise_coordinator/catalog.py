"""Every version of a model that a coordinator made: what it came from, how good it was, its file, and the way back."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgewise_coordinator.controls import forget_controls
from edgewise_coordinator.machine import Phase
from edgewise_coordinator.requests import ask_roll_back
from edgewise_coordinator.state import StateStore, VersionRow
from edgewise_coordinator.summary import RoundSummary
from edgewise_coordinator.versions import Versions
from edgewise_wire.artifact import Artifact
from edgewise_wire.clock import Clock, SystemClock
from edgewise_wire.errors import InputError, UnavailableError
from edgewise_wire.files import locked, write_durably
from edgewise_wire.messages import Kind
from edgewise_wire.weights import Flat, parameters, unflatten

ARTIFACT = "artifact.tflite"  # the model file as the coordinator was given it
STATE = "state.sqlite"
LOCK = "coordinator.lock"  # held by whoever changes something in the directory


def keep_artifact(directory: Path, artifact: Artifact) -> None:
    """Keep the model file in a coordinator's directory, so that any version can be written as a file later on."""
    path = directory / ARTIFACT
    if not path.exists():
        write_durably(path, artifact.with_weights(artifact.weights()))


class Catalog:
    """The versions in a coordinator's directory. Reading does not disturb a coordinator that runs there.

    Raises:
        InputError: if no coordinator ever ran in the directory.
    """

    def __init__(self, directory: Path, clock: Clock | None = None) -> None:
        for name in (STATE, ARTIFACT):
            if not (directory / name).exists():
                raise InputError(f"{directory}: no coordinator ran here ({name} is missing); name its --dir")
        self.directory = directory
        self._clock = clock or SystemClock()
        self._artifact = Artifact.load(directory / ARTIFACT)
        self._store = StateStore(directory / STATE)
        self._versions = Versions(directory / "versions", self._store, parameters(self._artifact.manifest.weights))
        if not self.rows():
            raise InputError(f"{directory}: the coordinator that ran here made no version yet; run it again")

    @property
    def parameters(self) -> int:
        """How many numbers a version's weights are."""
        return parameters(self._artifact.manifest.weights)

    @property
    def metrics(self) -> tuple[str, ...]:
        """The names of the model's metrics, the loss first."""
        return ("loss", *self._artifact.manifest.metrics)

    def rows(self) -> list[VersionRow]:
        """Return every version, oldest first; the last is the one that rounds start from."""
        return self._store.versions()

    def told(self) -> list[dict[str, Any]]:
        """Return every version as JSON knows it, oldest first.

        `round` counts training rounds from 1, as `rounds.jsonl` and the dashboard do; `round_id` evaluations, too. Both
        are `None` for the first version and for one that a rollback made.
        """
        numbers = self._store.round_numbers()
        return [_as_dict(row, numbers) for row in self.rows()]

    def row(self, version: int) -> VersionRow:
        """Return one version.

        Raises:
            InputError: if there is none of this number.
        """
        rows = {row.version: row for row in self.rows()}
        if version not in rows:
            raise InputError(f"version {version}: {self.directory} has the versions {min(rows)} to {max(rows)}")
        return rows[version]

    def describe(self, version: int) -> dict[str, Any]:
        """Return everything that is known of a version, as JSON knows it."""
        row = self.row(version)
        weights, state = self._versions.load(version)
        return {
            **_as_dict(row, self._store.round_numbers()),
            "newest": version == self.rows()[-1].version,
            "parameters": len(weights),
            "weights_sha256": hashlib.sha256(self._versions.path(version).read_bytes()).hexdigest(),
            "weights_norm": float(np.linalg.norm(weights.astype(np.float64))),
            "change_norm": self._change(row, weights),
            "state": {name: list(np.shape(value)) for name, value in state.items()},
            "made_by": self._store.summary(row.round_id) if row.round_id is not None else None,
        }

    def model_bytes(self, version: int) -> bytes:
        """Return the model file with a version's weights in it.

        Raises:
            InputError: if there is none of this number, or its file is gone.
        """
        weights, _ = self._versions.load(self.row(version).version)
        return self._artifact.with_weights(unflatten(weights, self._artifact.manifest.weights))

    def roll_back(self, version: int) -> VersionRow:
        """Make a new version out of an older one, with its weights and its algorithm's state; nothing is deleted.

        A round that was under way is abandoned: its reports belong to the version it began with. Control variates begin
        at zero, since what devices keep is of later rounds. The caller holds the directory's lock.

        Raises:
            InputError: if there is none of this number, or it is the newest.
        """
        newest = self.rows()[-1].version
        row = self.row(version)
        if version == newest:
            raise InputError(f"version {version} is the newest already; there is nothing to roll back")
        weights, state = self._versions.load(version)
        if "control" in state:
            state = state | {"control": np.zeros_like(state["control"])}
        self._abandon(f"rolled back to version {version}")
        name = self._versions.save(newest + 1, weights, state)
        made = VersionRow(newest + 1, version, None, name, self._clock.wall(), row.metrics)
        self._store.add_version(made)
        forget_controls(self._store)
        return made

    def close(self) -> None:
        """Close the database."""
        self._store.close()

    def _abandon(self, reason: str) -> None:
        for kind in Kind:
            row = self._store.unfinished_round(kind)
            if row is None:
                continue
            summary = RoundSummary(
                row.round_id, kind.name.lower(), Phase.ABANDONED.value, row.version, row.started, reason=reason
            )
            self._store.end_round(row.round_id, Phase.ABANDONED, reason, self._clock.wall(), summary.as_dict())

    def _change(self, row: VersionRow, weights: Flat) -> float | None:
        if row.parent is None:
            return None
        before, _ = self._versions.load(row.parent)
        return float(np.linalg.norm(weights.astype(np.float64) - before))


def roll_back_wherever(directory: Path, version: int) -> int:
    """Roll back whether or not a coordinator runs on the directory; return the number of the version that was made.

    Raises:
        InputError: if there is no such version, or it is the newest.
        UnavailableError: if the coordinator that runs there does not answer.
    """
    with contextlib.closing(Catalog(directory)) as catalog, contextlib.ExitStack() as stack:
        catalog.row(version)
        try:
            stack.enter_context(locked(directory / LOCK, "a coordinator runs there"))
        except UnavailableError:
            return ask_roll_back(directory, version)
        return catalog.roll_back(version).version


def _as_dict(row: VersionRow, numbers: Mapping[int, int]) -> dict[str, Any]:
    return {
        "version": row.version,
        "parent": row.parent,
        "round": None if row.round_id is None else numbers.get(row.round_id),
        "round_id": row.round_id,
        "created": row.created,
        "metrics": row.metrics,
    }
