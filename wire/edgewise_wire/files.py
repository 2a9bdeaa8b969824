"""Writing files so that a crash leaves either the old one or the new one, never half of one."""

from __future__ import annotations

import os
from pathlib import Path

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
