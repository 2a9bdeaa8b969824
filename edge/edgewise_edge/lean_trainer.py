"""A trainer that holds no more than it must, for a process that trains once and ends.

`set_weights` opens the model anew with the weights inside, so that the graph's own `set_weights`, whose inputs stay in
memory as long as the interpreter lives, never runs; and `get_weights` gives views. What is read of files is let go of.
"""

from __future__ import annotations

import contextlib
import ctypes
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np

from edgewise_edge.trainer import Trainer
from edgewise_wire.artifact import Artifact
from edgewise_wire.errors import UnavailableError
from edgewise_wire.weights import Array, Weights, check

MADV_DONTNEED = 4


class LeanTrainer(Trainer):
    """Trains from the weights that `set_weights` was given; before that there is nothing to train.

    Args:
        graph: the model file.
        scratch: where a copy with other weights may stand for a moment.
        mapped: the file that `set_weights` is given a mapping of, if it is one.
        threads: threads for the kernels.

    Raises:
        ModelError, UnavailableError: as `Trainer`; from `set_weights` also if the disk is full.
    """

    def __init__(self, graph: Path, scratch: Path, *, threads: int = 1, mapped: Path | None = None) -> None:
        artifact = Artifact.load(graph)
        self._describe(artifact)
        self._places = artifact.weight_places
        self._graph = graph
        self._scratch = scratch
        self._threads = threads
        self._mapped = mapped

    def set_weights(self, weights: Weights) -> None:
        """Open the model with these weights."""
        check(weights, self.manifest.weights)
        try:
            shutil.copyfile(self._graph, self._scratch)
            with self._scratch.open("r+b") as file:
                for spec in self.manifest.averaged:
                    file.seek(self._places[spec.name].start)
                    stored = np.dtype(spec.dtype).newbyteorder("<")
                    file.write(np.ascontiguousarray(weights[spec.name], stored).view(np.uint8).data)
            self._let_go_of_weights()
            self._session = self._opened(str(self._scratch), self._threads)
            self._values()  # the first signature that runs fills the variables; this one's outputs are needed anyway
            drop_mapped_pages(self._scratch)
        except OSError as error:
            raise UnavailableError(f"the model cannot be written to the disk ({error.strerror})") from error
        finally:
            with contextlib.suppress(OSError):
                self._scratch.unlink(missing_ok=True)  # the runtime has mapped it; nothing of it is ever synced

    def get_weights(self) -> Mapping[str, Array]:
        """Return every averaged weight by name: views, good until the trainer does anything else."""
        return _Looked(self._values(), self._let_go_of_weights)

    def _values(self) -> Mapping[str, Callable[[], Array]]:
        return self._session.call_deferred("get_weights", {"dummy": np.zeros((), np.float32)})

    def _let_go_of_weights(self) -> None:
        if self._mapped is not None:
            drop_mapped_pages(self._mapped)


class _Looked(Mapping[str, Array]):
    """Arrays that are made when they are looked up, and not kept; `before` is called each time."""

    def __init__(self, makers: Mapping[str, Callable[[], Array]], before: Callable[[], None]) -> None:
        self._makers = makers
        self._before = before

    def __getitem__(self, name: str) -> Array:
        self._before()
        return self._makers[name]()

    def __iter__(self) -> Iterator[str]:
        return iter(self._makers)

    def __len__(self) -> int:
        return len(self._makers)


def drop_mapped_pages(path: Path) -> None:
    """Let go of the pages of a file that this process has mapped to read; whoever reads them again gets them again."""
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
