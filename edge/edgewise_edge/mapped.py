"""Memory of files that are mapped to be read, handed back: it is needed once at the beginning and once at the end."""

from __future__ import annotations

import ctypes
import mmap
from pathlib import Path
from typing import Any

import numpy as np

MADV_DONTNEED = 4


def let_go(array: np.ndarray[Any, Any]) -> None:
    """Hand back the memory behind a view of a mapped file; whoever reads it again has it read again.

    Example:
        >>> let_go(np.zeros(3))  # of any other array nothing changes
    """
    base = _file_behind(array)
    if base is not None and hasattr(base, "madvise"):
        base.madvise(mmap.MADV_DONTNEED)


def mapped(array: np.ndarray[Any, Any]) -> bool:
    """Return whether an array is a view of a mapped file."""
    return _file_behind(array) is not None


def _file_behind(array: np.ndarray[Any, Any]) -> Any:
    base: Any = array
    while base is not None and not isinstance(base, mmap.mmap):
        base = getattr(base, "base", None)
    return base


def drop_mapped_pages(path: Path) -> None:
    """Hand back the memory of a file that this process, a library of it say, has mapped to read."""
    try:
        maps = Path("/proc/self/maps").read_text("utf-8", "replace").splitlines()
        libc = ctypes.CDLL(None)
    except OSError:
        return  # another system: the pages go when it wants them
    for line in maps:
        place, allowed, _, _, _, *name = line.split(None, 5)
        if name and name[0].removesuffix(" (deleted)") == str(path) and "w" not in allowed:
            start, stop = (int(number, 16) for number in place.split("-"))
            libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(stop - start), MADV_DONTNEED)
