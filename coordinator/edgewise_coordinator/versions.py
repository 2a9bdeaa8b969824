"""Model versions on disk: weights, and the server algorithm's state beside them, one file each per version."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from edgewise_coordinator.algorithms.base import State
from edgewise_coordinator.faults import FaultHook, FaultPoint, no_fault
from edgewise_coordinator.state import StateStore, VersionRow
from edgewise_wire.errors import InputError
from edgewise_wire.files import make_folder, write_durably
from edgewise_wire.weights import Flat, from_bytes, to_bytes


class Versions:
    """Every version of the model, by number; the newest is the one that rounds start from."""

    def __init__(self, directory: Path, store: StateStore, parameters: int, fault: FaultHook = no_fault) -> None:
        self._directory = directory
        self._store = store
        self._parameters = parameters
        self._fault = fault
        make_folder(directory)

    def latest(self) -> int | None:
        """Return the newest version's number, `None` before the first."""
        rows = self._store.versions()
        return rows[-1].version if rows else None

    def lineage(self, version: int) -> set[int]:
        """Return a version, the one it was made from, and so on back to the first."""
        parents = {row.version: row.parent for row in self._store.versions()}
        found: set[int] = set()
        at: int | None = version
        while at is not None and at not in found:
            found.add(at)
            at = parents.get(at)
        return found

    def save(self, version: int, weights: Flat, state: State) -> str:
        """Write a version's files durably and return the weights' file name; the caller records the row."""
        path = self.path(version)
        archive = io.BytesIO()
        np.savez(archive, **state)
        write_durably(self._directory / f"{version:06}.state.npz", archive.getbuffer())
        self._fault(FaultPoint.AFTER_STATE_FILE)
        write_durably(path, to_bytes(weights))
        return path.name

    def path(self, version: int) -> Path:
        """Return the file with a version's weights: float32[parameters], little-endian, as they travel."""
        return self._directory / f"{version:06}.weights"

    def load(self, version: int) -> tuple[Flat, State]:
        """Return a version's weights and the algorithm's state.

        Raises:
            InputError: if its files are not there or have another size than the model.
        """
        path = self.path(version)
        try:
            weights = from_bytes(path.read_bytes(), self._parameters)
            with np.load(self._directory / f"{version:06}.state.npz", allow_pickle=False) as archive:
                return weights, dict(archive)
        except OSError as error:
            raise InputError(f"{path}: version {version} cannot be read ({error.strerror})") from error

    def add_first(self, weights: Flat, state: State, now: float) -> int:
        """Save and record version 0."""
        self._store.add_version(VersionRow(0, None, None, self.save(0, weights, state), now, {}))
        return 0
