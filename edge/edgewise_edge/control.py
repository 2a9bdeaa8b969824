"""A device's own control variates between rounds (Karimireddy et al. 2020: cᵢ never leaves the device).

    controls/{graph}/{round}    cᵢ as it was after this device's report in that round (see `learned.py`)

Which one is in force the coordinator says with each assignment: the round of this device's last report that became part
of a version. So a report that was lost, or whose round was abandoned, leaves cᵢ as it was, and c stays the mean of all
cᵢ. Nothing needs to be decided when an acknowledgement arrives, and a crash in between changes nothing.

cᵢ is a mean of gradients of the owner's examples: `forget` removes it together with them.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
from pathlib import Path

import numpy as np

from edgewise_edge.home import Home
from edgewise_edge.learned import Learned
from edgewise_wire.errors import DataError, UnavailableError
from edgewise_wire.weights import Flat

log = logging.getLogger(__name__)

FOLDER = "controls"
RESIDUALS = "residuals"


class Controls:
    """The variates of one graph, by round; or, in another folder, what else is in force once its round has counted."""

    def __init__(self, home: Home, graph_hash: bytes, folder: str = FOLDER) -> None:
        self._folder = home.path / folder / graph_hash.hex()[:32]
        self._files = Learned(home)

    def load(self, round_number: int, parameters: int) -> Flat | None:
        """Return cᵢ after a round (read-only); `None`, meaning zeros, if there is none.

        Round 0 stands for none. A file of another length, that has changed since it was sealed, or with numbers that
        are not finite, counts as none.

        Raises:
            UnavailableError, ConfigError: naming the key, if the examples are encrypted and it cannot be used.
        """
        try:
            found = self._files.read(self._path(round_number), parameters) if round_number else None
        except DataError as error:
            log.warning("not used: %s", error)
            return None
        return found if found is not None and np.isfinite(found).all() else None

    def save(self, round_number: int, values: Flat, in_force: int) -> None:
        """Keep cᵢ as it is after a round, beside the one that is in force until that round has counted.

        Raises:
            UnavailableError, ConfigError, DataError: if the disk is full, or the key cannot be used.
        """
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise UnavailableError(f"{self._folder}: cannot be made ({error.strerror})") from error
        for path in self._folder.iterdir():
            if path.name not in (str(in_force), str(round_number)):
                path.unlink()
        self._files.write(self._path(round_number), values)

    def _path(self, round_number: int) -> Path:
        return self._folder / str(round_number)


def forget_controls(home: Home) -> None:
    """Remove every control variate and every residual of a device: it starts from zero again."""
    for folder in (FOLDER, RESIDUALS):
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(home.path / folder)
