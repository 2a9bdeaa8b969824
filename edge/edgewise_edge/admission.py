"""Whether this device takes an assignment: everything that can be said against one before anything is written."""

from __future__ import annotations

from collections.abc import Callable

from edgewise_edge.abilities import update_bytes
from edgewise_edge.budget import Budget
from edgewise_edge.deltas import weights_to_fetch
from edgewise_edge.host import Host
from edgewise_edge.policy import Policy
from edgewise_edge.separation import Separation
from edgewise_wire.blobs import BlobStore, check_ref
from edgewise_wire.errors import ProtocolError
from edgewise_wire.messages import CHUNK_BYTES, CHUNKS_MAX, Assignment, Kind

BLOB_BYTES_MAX = CHUNKS_MAX * CHUNK_BYTES


class Admission:
    """Holds assignments against the device's conditions, its owner's policy and what is left of the day."""

    def __init__(
        self, host: Host, blobs: BlobStore, policy: Callable[[], Policy], budget: Budget, separation: Separation
    ) -> None:
        self._host = host
        self._blobs = blobs
        self._policy = policy
        self._budget = budget
        self._separation = separation

    def refusal(self, asked: Assignment) -> str | None:
        """Return why this device does not take an assignment, or `None`.

        Raises:
            EdgewiseError: if the device's own store cannot be read.
        """
        try:
            if asked.kind != Kind.DISCOVER:
                check_ref(asked.graph, BLOB_BYTES_MAX)
            check_ref(asked.weights, BLOB_BYTES_MAX)
            if asked.correction:
                check_ref(asked.control, BLOB_BYTES_MAX)
        except ProtocolError as error:
            return str(error)
        held, traffic = self._host.counts().of(asked.kind), self._traffic(asked)
        why = self._host.obstacle() or self._policy().refusal(asked, held=held, traffic=traffic)
        return why or self._separation.refusal(asked) or self._budget.refusal(asked, traffic)

    def _traffic(self, asked: Assignment) -> int:
        """Return the bytes that would move, both ways."""
        traffic = 0 if not asked.graph.size or self._blobs.has(asked.graph.hash) else asked.graph.size
        traffic += sum(ref.size for ref in weights_to_fetch(asked, self._blobs)) + update_bytes(asked)
        return traffic + (asked.control.size if asked.correction else 0)
