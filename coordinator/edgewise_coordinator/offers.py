"""Which blobs are on the broker: the graph, and what each version that somebody still trains on consists of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from edgewise_coordinator.downlink import Step
from edgewise_coordinator.publisher import BlobPublisher
from edgewise_wire.artifact import Artifact
from edgewise_wire.blobs import Content, make_ref
from edgewise_wire.errors import ConfigError
from edgewise_wire.messages import CHUNKS_MAX, BlobRef, Delta


class Offer(NamedTuple):
    """One version's blobs; `control` is empty unless the algorithm sends a control variate along.

    `deltas` lead to `weights` from what devices may have; versions that follow one another share them.
    """

    weights: BlobRef
    control: BlobRef
    deltas: tuple[Delta, ...] = ()

    @property
    def refs(self) -> tuple[BlobRef, ...]:
        """All of the blobs."""
        return (self.weights, self.control, *(delta.blob for delta in self.deltas))


class Offers:
    """Puts blobs on the broker once and takes them off when nobody needs them any more.

    The graph goes without its weights, which are read as zeros: its hash is the artifact's `graph_hash`.
    """

    def __init__(self, publisher: BlobPublisher, artifact: Artifact) -> None:
        self._publisher = publisher
        zeros = {name: np.zeros_like(array) for name, array in artifact.weights().items()}
        self._graph_data = artifact.with_weights(zeros)
        self.graph = make_ref(self._graph_data)
        self._offers: dict[int, Offer] = {}

    def put(self, version: int, weights: Content, control: Content | None = None, steps: Sequence[Step] = ()) -> Offer:
        """Offer a version, with the graph and the short ways to it; a second time does nothing.

        Raises:
            ConfigError: if the references together are too long for one message.
        """
        self._publisher.offer(self.graph, self._graph_data)
        found = self._offers.get(version)
        if found is None:
            ref = make_ref(weights)
            found = Offer(ref, BlobRef() if control is None else make_ref(control))
            self._check(found)
            steps = self._that_fit(found, steps)
            found = found._replace(deltas=tuple(step.delta for step in steps))
            self._offers[version] = found
            self._publisher.offer(ref, weights)
            if control is not None:
                self._publisher.offer(found.control, control)
            for step in steps:
                self._publisher.offer(step.delta.blob, step.data)
        return found

    def keep(self, versions: Iterable[int]) -> None:
        """Take every other version off the broker."""
        wanted = set(versions)
        kept = {ref.hash for version in wanted & self._offers.keys() for ref in self._offers[version].refs}
        for version in self._offers.keys() - wanted:
            for ref in self._offers.pop(version).refs:
                if ref.hash not in kept:
                    self._publisher.withdraw(ref.hash)

    def close(self) -> None:
        """Take everything off the broker."""
        self.keep(())
        self._publisher.withdraw(self.graph.hash)

    def _hashes(self, refs: Iterable[BlobRef]) -> int:
        return sum(len(ref.chunk_hashes) for ref in (self.graph, *refs)) // 32

    def _that_fit(self, offer: Offer, steps: Sequence[Step]) -> Sequence[Step]:
        """Return the last steps, as many as one assignment can name."""
        while steps and self._hashes((*offer.refs, *(step.delta.blob for step in steps))) > 2 * CHUNKS_MAX:
            steps = steps[1:]
        return steps

    def _check(self, offer: Offer) -> None:
        hashes = self._hashes(offer.refs)
        if hashes > 2 * CHUNKS_MAX:
            raise ConfigError(
                f"this model and what its algorithm sends along are {hashes} chunks together, one assignment can name"
                f" {2 * CHUNKS_MAX}; choose an algorithm without a control variate"
            )
