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
    """Return the map that an array is a view of, if it was made by `np.memmap`.

    Shared memory is an `mmap` too, but it has no file to be read from again: what is handed back of it is not free, and
    costs a page fault on the next touch.
    """
    base: Any = array
    file = False
    while base is not None and not isinstance(base, mmap.mmap):
        file = file or isinstance(base, np.memmap)
        base = getattr(base, "base", None)
    return base if file else None


def drop_file_pages() -> None:
    """Hand back the pages of files, code above all, that only the start needed; what is needed again is read again.

    Of the libraries of NumPy and of the runtime, training needs less than half. Only pages that are as they stand in
    the file are handed back: a mapping of which the process has written one (relocations), or swapped one out, stays.
    Two files must agree on each: under qemu `smaps` tells of the emulator's memory, `maps` of the program's.
    """
    try:
        lines = Path("/proc/self/smaps").read_text("utf-8", "replace").splitlines()
        told = set(Path("/proc/self/maps").read_text("utf-8", "replace").splitlines())
        libc = ctypes.CDLL(None)
    except OSError:
        return  # another system: the pages go when it wants them
    place, unwritten = "", True
    for line in lines:
        name, *rest = line.split(None, 5)
        if not name.endswith(":"):
            file = len(rest) == 5 and rest[4].startswith("/") and "w" not in rest[0]
            place, unwritten = (name if file and line in told else ""), True
        elif name in ("Anonymous:", "Swap:"):
            unwritten &= rest[0] == "0"
        elif name == "VmFlags:" and place and unwritten:  # a mapping's last line
            start, stop = (int(number, 16) for number in place.split("-"))
            libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(stop - start), MADV_DONTNEED)
