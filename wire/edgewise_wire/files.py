"""Files that outlive a crash whole, and folders that belong to one process at a time."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from edgewise_wire.errors import UnavailableError


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable (a rename is safe only after its directory was synced)."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_folder(path: Path) -> Path:
    """Make a folder and those above it where they are missing, and return it.

    Raises:
        UnavailableError: if the disk refuses.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UnavailableError(
            f"{path}: cannot be made ({error.strerror}); free space or choose another place"
        ) from error
    return path


def write_durably(path: Path, data: bytes | memoryview) -> None:
    """Write `data` to `path` through a synced temporary file beside it.

    Raises:
        UnavailableError: if the disk is full or the directory cannot be written.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        sync_directory(path.parent)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise UnavailableError(
            f"{path}: cannot be written ({error.strerror}); free space or choose another place"
        ) from error


@contextlib.contextmanager
def locked(path: Path, refusal: str, patience: float = 0.0) -> Iterator[None]:
    """Hold a lock file while the block runs; the system lets go of it when the process dies, however it dies.

    Args:
        path: the file; made where it is missing, and left behind.
        refusal: what to say if another process holds it.
        patience: seconds to wait for that process.

    Raises:
        UnavailableError: `refusal`, if another process still holds the file.
    """
    with path.open("a") as file:
        if not _take(file, patience):
            raise UnavailableError(refusal)
        yield


def _take(file: IO[str], patience: float) -> bool:
    try:
        import fcntl  # not on Windows, where two processes on one folder are the owner's business
    except ImportError:
        return True
    until = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            if time.monotonic() >= until:
                return False
            time.sleep(0.05)
        else:
            return True
