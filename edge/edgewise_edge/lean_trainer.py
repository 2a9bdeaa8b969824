"""A trainer that holds no more than it must, for a process that trains once and ends.

`set_weights` opens the model anew with the weights inside, so that the graph's own `set_weights`, whose inputs stay in
memory as long as the interpreter lives, never runs; and `get_weights` gives views. What is read of files is let go of.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from edgewise_edge.mapped import drop_file_pages, let_go
from edgewise_edge.trainer import Trainer
from edgewise_wire.artifact import Artifact
from edgewise_wire.errors import UnavailableError
from edgewise_wire.weights import Array, Weights, check


class LeanTrainer(Trainer):
    """Trains from the weights that `set_weights` was given; before that there is nothing to train.

    Args:
        graph: the model file.
        scratch: where a copy with other weights may stand for a moment.
        threads: threads for the kernels.

    Raises:
        ModelError, UnavailableError: as `Trainer`; from `set_weights` also if the disk is full.
    """

    def __init__(self, graph: Path, scratch: Path, *, threads: int = 1) -> None:
        artifact = Artifact.load(graph)
        self._describe(artifact)
        self._places = artifact.weight_places
        self._graph = graph
        self._scratch = scratch
        self._threads = threads

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
                    let_go(weights[spec.name])
            self._session = self._opened(str(self._scratch), self._threads)
            self.weight_views()  # the first signature that runs fills the variables; these are needed anyway
            drop_file_pages()  # before the first step takes what a step takes
        except OSError as error:
            raise UnavailableError(f"the model cannot be written to the disk ({error.strerror})") from error
        finally:
            with contextlib.suppress(OSError):
                self._scratch.unlink(missing_ok=True)  # the runtime has mapped it; nothing of it is ever synced

    def get_weights(self) -> Mapping[str, Array]:
        """Return every averaged weight by name: views, good until the trainer does anything else."""
        return self.weight_views()
