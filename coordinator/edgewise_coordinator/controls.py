"""What the devices' half of an algorithm is told with an assignment: μ, the server's control variate, and which of its
own variates a device is to use."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from edgewise_coordinator.algorithms.base import Client, State
from edgewise_coordinator.machine import Participant, Status
from edgewise_coordinator.state import StateStore
from edgewise_wire.messages import Assignment
from edgewise_wire.weights import to_bytes

SINCE = "controls-since"  # the last round before every variate was set back to zero


def forget_controls(store: StateStore) -> None:
    """Let every device start from a variate of zero, as the server does when its state begins anew."""
    store.remember(SINCE, str(store.last_round()))


class Controls:
    """Knows of each device the last round whose report became part of a version.

    Law: a device's cᵢ changes exactly when its Δcᵢ is added to c. So it is told which of its variates counts, and an
    accepted report of a round that was abandoned afterwards does not. The same holds for what a device with error
    feedback has not said yet.

    Args:
        client: the devices' half of the algorithm.
        store: which reports counted.
        feedback: whether the devices' encoding keeps what it does not say.
    """

    def __init__(self, client: Client, store: StateStore, *, feedback: bool = False) -> None:
        self._client = client
        self._tells = bool(client.correction) or feedback
        since = int(store.recall(SINCE, "0"))
        self._counted = store.counted_rounds(since) if self._tells else {}

    def blob(self, state: State) -> bytes | None:
        """Return what travels to the devices beside the weights, if anything does."""
        return to_bytes(state[self._client.control]) if self._client.control else None

    def add_to(self, assignment: Assignment, device: str) -> Assignment:
        """Return a training assignment with what the algorithm asks of this device."""
        client, last = self._client, self._counted.get(device, 0)
        return replace(assignment, mu=client.mu, correction=client.correction, control_round=last)

    def counted(self, round_id: int, participants: Iterable[Participant]) -> None:
        """Note that a round's reports became part of a version."""
        if self._tells:
            self._counted.update(
                {p.device: p.round_id or round_id for p in participants if p.status is Status.REPORTED}
            )
