"""What each device keeps for itself between rounds: control variates, and what an encoding has not said yet.

    {kind}/{device}/{round}.npy      as it was after this device's report in that round

Which one is in force the simulation says with each job, as a coordinator does with each assignment: so a round that is
run again, after a kill or with another cohort, starts from the same ones.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgewise_wire.errors import UnavailableError
from edgewise_wire.weights import Flat

CONTROL = "controls"
RESIDUAL = "residuals"


class DeviceStates:
    """The folder of a run; any worker reads and writes it, and a device is with one worker at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self, kind: str, device: int, round_id: int) -> Flat | None:
        """Return what a device kept after a round, `None` (meaning zeros) for round 0."""
        if not round_id:
            return None
        try:
            found: Flat = np.load(self._path(kind, device, round_id))
        except OSError as error:
            raise UnavailableError(f"{self._path(kind, device, round_id)}: cannot be read ({error})") from error
        return found

    def save(self, kind: str, device: int, round_id: int, values: Flat, in_force: int) -> None:
        """Keep `values`, beside those of the round in force; older and undone ones go.

        Raises:
            UnavailableError: if the disk refuses.
        """
        path = self._path(kind, device, round_id)
        part = path.with_suffix(".part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with part.open("wb") as file:
                np.save(file, values)
            part.replace(path)
            for other in path.parent.iterdir():
                if other.stem not in (str(round_id), str(in_force)):
                    other.unlink(missing_ok=True)
        except OSError as error:
            raise UnavailableError(f"{path}: cannot be written ({error.strerror}); free space") from error

    def _path(self, kind: str, device: int, round_id: int) -> Path:
        return self._folder / kind / str(device) / f"{round_id}.npy"
