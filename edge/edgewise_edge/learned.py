"""Files of numbers learned from the owner's text that stay on the device, at rest as the text is.

    personal/weights, controls/{graph}/{round}, residuals/{graph}/{round}

Plain, they are float32[n] little-endian; while the examples are encrypted, a byte and then that, sealed with the same
key, each for its own place in the folder. How much of a text can be told from such numbers is an open question (Carlini
et al. 2019, "The Secret Sharer"). The update in work is not among them: it is on its way to the coordinator, and goes
when that has it.

Law: a file's length says of which kind it is. A process that ends in the middle of a change leaves files of both kinds,
which are read all the same, and `settle` finishes it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgewise_edge.home import Home
from edgewise_edge.store import ExampleStore, Limits
from edgewise_wire.errors import DataError, UnavailableError
from edgewise_wire.files import write_durably
from edgewise_wire.weights import WIRE_DTYPE, Flat

if TYPE_CHECKING:
    from edgewise_wire.crypto.sealing import Sealer

PURPOSE = "edgewise learned 1 "
FOLDERS = ("personal", "controls", "residuals")
SEALED = b"\x01"  # what a sealed file begins with: so its length is no whole number of floats
EXTRA_BYTES = 1 + 28  # and that of its seal (edgewise_wire.crypto.sealing, imported only where there is a key)


class Learned:
    """The files of one device."""

    def __init__(self, home: Home) -> None:
        self._home = home

    def read(self, path: Path, count: int) -> Flat | None:
        """Return a file's float32[count], mapped where it is plain; `None` if it is not there or not so long.

        Raises:
            DataError: if it was sealed with another key or for another place, or has changed.
            UnavailableError, ConfigError: naming the key, if that cannot be used.
        """
        size = path.stat().st_size if path.exists() else -1
        if size == WIRE_DTYPE.itemsize * count:
            return np.asarray(np.memmap(path, WIRE_DTYPE, "r")).astype(np.float32, copy=False)
        if size != WIRE_DTYPE.itemsize * count + EXTRA_BYTES:
            return None
        return np.frombuffer(self._opened(path), WIRE_DTYPE).astype(np.float32, copy=False)

    def write(self, path: Path, values: Flat) -> None:
        """Keep numbers, sealed if the examples are.

        Raises:
            UnavailableError: if the disk is full or cannot be written.
            UnavailableError, ConfigError, DataError: naming the key, if that cannot be used.
        """
        data = values.astype(WIRE_DTYPE, copy=False).view(np.uint8).data
        sealer = self._sealer(path)
        write_durably(path, data if sealer is None else SEALED + sealer.seal_bytes(data))

    def settle(self) -> int:
        """Seal what is plain though the examples are encrypted; return how many files that were.

        Raises:
            UnavailableError, ConfigError, DataError: as `write`.
        """
        plain = [path for path in self._files() if not _is_sealed(path)]
        found = [(path, sealer) for path in plain if (sealer := self._sealer(path)) is not None]
        for path, sealer in found:
            _replace(path, SEALED + sealer.seal_bytes(path.read_bytes()))
        return len(found)

    def unseal(self) -> None:
        """Write every sealed file in plain, while the key is there: for before the examples are decrypted.

        Raises:
            UnavailableError, ConfigError, DataError: as `read`.
        """
        for path in filter(_is_sealed, self._files()):
            write_durably(path, self._opened(path))

    def _opened(self, path: Path) -> bytes:
        sealer = self._sealer(path)
        if sealer is None:
            raise DataError(f"{path}: sealed, and the examples are not encrypted: its key is gone")
        try:
            return sealer.open_bytes(path.read_bytes()[len(SEALED) :])
        except DataError:
            raise DataError(f"{path}: has changed on the disk, or another key sealed it") from None

    def _sealer(self, path: Path) -> Sealer | None:
        if not self._home.examples.exists():
            return None
        place = path.relative_to(self._home.path).as_posix()
        with ExampleStore(self._home.examples, limits=Limits(None, None, None)) as store:
            return store.sealer((PURPOSE + place).encode())

    def _files(self) -> Iterator[Path]:
        """Yield every file; what a crash left half written goes."""
        for path in sorted(found for folder in FOLDERS for found in (self._home.path / folder).rglob("*")):
            if path.name.startswith("."):
                path.unlink(missing_ok=True)
            elif path.is_file() and path.suffix != ".json":
                yield path


def _is_sealed(path: Path) -> bool:
    return path.stat().st_size % WIRE_DTYPE.itemsize != 0


def _replace(path: Path, data: bytes) -> None:
    """Replace a file and overwrite what was in it, as far as a file system lets a program do that."""
    try:
        with path.open("r+b") as old:
            write_durably(path, data)
            old.write(bytes(os.fstat(old.fileno()).st_size))
            old.flush()
            os.fsync(old.fileno())
    except OSError as error:
        raise UnavailableError(f"{path}: cannot be overwritten ({error.strerror})") from error
