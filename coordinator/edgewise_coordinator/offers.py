"""Which blobs are on the broker: the graph, and what each version that somebody still trains on consists of."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from edgewise_coordinator.downlink import Step
from edgewise_coordinator.publisher import BlobPublisher
from edgewise_coordinator.state import StateStore
from edgewise_wire.artifact import Artifact
from edgewise_wire.blobs import Content, chunk_count, make_ref
from edgewise_wire.errors import ConfigError, UnavailableError
from edgewise_wire.messages import CHUNKS_MAX, BlobRef, Delta

NOTE = "offered"  # where the state keeps which blobs are on the broker: hash:chunks hash:chunks …


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
    What is put there is noted before, so that a coordinator which follows a killed one can take it off again: a broker
    keeps retained messages for ever.
    """

    def __init__(self, publisher: BlobPublisher, artifact: Artifact, store: StateStore) -> None:
        self._publisher = publisher
        self._store = store
        self._noted = store.recall(NOTE, "")
        self._left_behind = set(self._noted.split())
        zeros = {name: np.zeros_like(array) for name, array in artifact.weights().items()}
        self._graph_data = artifact.with_weights(zeros)
        self.graph = make_ref(self._graph_data)
        self._offers: dict[int, Offer] = {}

    def put(self, version: int, weights: Content, control: Content | None = None, steps: Sequence[Step] = ()) -> Offer:
        """Offer a version, with the graph and the short ways to it; a second time does nothing.

        Raises:
            ConfigError: if the references together are too long for one message.
            UnavailableError: if it cannot be noted.
        """
        if version in self._offers:
            return self._offers[version]
        found = Offer(make_ref(weights), BlobRef() if control is None else make_ref(control))
        self._check(found)
        steps = self._that_fit(found, steps)
        found = found._replace(deltas=tuple(step.delta for step in steps))
        self._note(found)
        self._offers[version] = found
        self._publisher.offer(self.graph, self._graph_data)
        self._publisher.offer(found.weights, weights)
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
        with contextlib.suppress(UnavailableError):
            self._store.remember(NOTE, "")

    def _note(self, new: Offer) -> None:
        """Note what is to be on offer, and take off what an earlier process had there."""
        refs = [self.graph, *(ref for offer in (*self._offers.values(), new) for ref in offer.refs if ref.hash)]
        now = " ".join(sorted({f"{ref.hash.hex()}:{chunk_count(ref)}" for ref in refs}))
        if now != self._noted:
            self._store.remember(NOTE, now)
            self._noted = now
        for gone in sorted(self._left_behind - set(now.split())):
            blob_hash, chunks = gone.split(":")
            self._publisher.clear(bytes.fromhex(blob_hash), int(chunks))
        self._left_behind = set()

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
