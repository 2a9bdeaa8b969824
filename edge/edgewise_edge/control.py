"""A device's own control variates between rounds (Karimireddy et al. 2020: cᵢ never leaves the device).

    controls/{graph}/{round}    cᵢ as it was after this device's report in that round, float32 little-endian

Which one is in force the coordinator says with each assignment: the round of this device's last report that became part
of a version. So a report that was lost, or whose round was abandoned, leaves cᵢ as it was, and c stays the mean of all
cᵢ. Nothing needs to be decided when an acknowledgement arrives, and a crash in between changes nothing.

cᵢ is a mean of gradients of the owner's examples: `forget` removes it together with them.
"""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

import numpy as np

from edgewise_edge.home import Home
from edgewise_wire.errors import UnavailableError
from edgewise_wire.files import write_durably
from edgewise_wire.weights import WIRE_DTYPE, Flat

FOLDER = "controls"
RESIDUALS = "residuals"


class Controls:
    """The variates of one graph, by round; or, in another folder, what else is in force once its round has counted."""

    def __init__(self, home: Home, graph_hash: bytes, folder: str = FOLDER) -> None:
        self._folder = home.path / folder / graph_hash.hex()[:32]

    def load(self, round_number: int, parameters: int) -> Flat | None:
        """Return cᵢ after a round (read-only, mapped and not copied); `None`, meaning zeros, if there is none.

        Round 0 stands for none. A file of another length, or with numbers that are not finite, counts as none.
        """
        path = self._path(round_number)
        if not round_number or not path.exists() or path.stat().st_size != WIRE_DTYPE.itemsize * parameters:
            return None
        found: Flat = np.asarray(np.memmap(path, WIRE_DTYPE, "r")).astype(np.float32, copy=False)
        return found if np.isfinite(found).all() else None

    def save(self, round_number: int, values: Flat, in_force: int) -> None:
        """Keep cᵢ as it is after a round, beside the one that is in force until that round has counted.

        Raises:
            UnavailableError: if the disk is full or cannot be written.
        """
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise UnavailableError(f"{self._folder}: cannot be made ({error.strerror})") from error
        for path in self._folder.iterdir():
            if path.name not in (str(in_force), str(round_number)):
                path.unlink()
        write_durably(self._path(round_number), values.astype(WIRE_DTYPE, copy=False).view(np.uint8).data)

    def _path(self, round_number: int) -> Path:
        return self._folder / str(round_number)


def forget_controls(home: Home) -> None:
    """Remove every control variate and every residual of a device: it starts from zero again."""
    for folder in (FOLDER, RESIDUALS):
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(home.path / folder)
