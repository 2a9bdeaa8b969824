"""NumPy arrays in shared memory: made by the simulation, attached by its workers, never copied through a pipe."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping
from multiprocessing import resource_tracker
from multiprocessing.shared_memory import SharedMemory
from typing import Any, NamedTuple

import numpy as np

from edgewise_wire.errors import UnavailableError
from edgewise_wire.weights import Array


class Handle(NamedTuple):
    """What another process needs to attach an array."""

    name: str
    shape: tuple[int, ...]
    dtype: str


class SharedArray:
    """An array in a segment of its own. Whoever made it calls `unlink`; every process calls `close` or ends."""

    def __init__(self, memory: SharedMemory, handle: Handle) -> None:
        self._memory = memory
        self.handle = handle
        self.array: Array = np.ndarray(handle.shape, handle.dtype, buffer=memory.buf)

    @classmethod
    def make(cls, shape: tuple[int, ...], dtype: Any) -> SharedArray:
        """Return a new array of zeros.

        Raises:
            UnavailableError: if there is not so much shared memory.
        """
        size = max(1, int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize)
        try:
            memory = SharedMemory(create=True, size=size)
        except OSError as error:
            raise UnavailableError(f"shared memory of {size} bytes cannot be had ({error.strerror})") from error
        return cls(memory, Handle(memory.name, tuple(shape), np.dtype(dtype).str))

    @classmethod
    def of(cls, array: Array) -> SharedArray:
        """Return a shared copy."""
        made = cls.make(array.shape, array.dtype)
        made.array[...] = array
        return made

    @classmethod
    def attach(cls, handle: Handle) -> SharedArray:
        """Return another process's array."""
        if sys.version_info >= (3, 13):
            return cls(SharedMemory(handle.name, track=False), handle)
        # Before 3.13 whoever attaches is taken for an owner, and would remove the segment when it ends.
        with _unregistered():
            return cls(SharedMemory(handle.name), handle)

    def unlink(self) -> None:
        """Let go of the array, and remove it for everyone."""
        del self.array
        with contextlib.suppress(BufferError):  # somebody here still holds a view; the memory goes with the last one
            self._memory.close()
        self._memory.unlink()


@contextlib.contextmanager
def _unregistered() -> Iterator[None]:
    register = resource_tracker.register
    resource_tracker.register = lambda name, kind: None  # type: ignore[assignment]
    try:
        yield
    finally:
        resource_tracker.register = register


def share(arrays: Mapping[str, Array]) -> dict[str, SharedArray]:
    """Return shared copies by name."""
    return {name: SharedArray.of(array) for name, array in arrays.items()}
