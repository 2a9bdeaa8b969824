"""Sending a finished update, chunk by chunk, as the coordinator grants it."""

from __future__ import annotations

import math
from itertools import islice
from pathlib import Path

from edgewise_edge.link import Heard, Link
from edgewise_edge.phases import Phase
from edgewise_edge.progress import Step
from edgewise_wire.blobs import chunk, chunk_count
from edgewise_wire.clock import Clock
from edgewise_wire.errors import ProtocolError
from edgewise_wire.messages import ChunkAck, DeviceState, UploadChunk, UploadGrant, UploadRequest
from edgewise_wire.ranges import ChunkSet

SILENCE_SECONDS = 10.0  # no grant and no acknowledgement for so long: ask again
WINDOW_MAX = 64  # chunks in flight whatever a grant says: 8 MB of a small device's memory


class Upload(Phase):
    """One update on its way. It holds no more of the file than one chunk, and remembers nothing a restart would need.

    Law: what is sent is the file at `path`, every chunk checked against `request.update`, and nothing before a grant.
    It goes `to` the aggregator that the assignment names, or to the coordinator.
    """

    state = DeviceState.UPLOADING

    def __init__(
        self, link: Link, clock: Clock, round_number: int, request: UploadRequest, path: Path, to: str = ""
    ) -> None:
        self._link = link
        self._clock = clock
        self._round = round_number
        self._request = request
        self._path = path
        self._to = to
        self._window = 0
        self._have = ChunkSet(chunk_count(request.update))
        self._flying: set[int] = set()
        self.due = -math.inf
        self.bytes_up = 0

    @property
    def progress(self) -> Step:
        """Chunks that the coordinator holds, of how many."""
        return Step(len(self._have), self._have.count, self._request.loss)

    def start(self) -> None:
        """Ask for a slot."""
        self.repeat()

    def connected(self) -> None:
        """Ask again: the answer says what arrived before the link broke."""
        self.repeat()

    def tick(self) -> None:
        """Ask again after a silence."""
        if self._clock.now() >= self.due:
            self.repeat()

    def repeat(self) -> None:
        """Ask; until the answer nothing is sent, since nobody knows what of it would be new."""
        self._window = 0
        self._flying.clear()
        self._link.say(self._request, self._round, to=self._to)
        self.due = self._clock.now() + SILENCE_SECONDS

    def hear(self, heard: Heard) -> None:
        """Take a grant or an acknowledgement; one that contradicts the update is dropped."""
        try:
            if isinstance(heard.body, UploadGrant):
                self._granted(heard.body)
            elif isinstance(heard.body, ChunkAck):
                self._acknowledged(heard.body)
        except ProtocolError as error:
            self._link.drop("contradictory", str(error))

    def _granted(self, grant: UploadGrant) -> None:
        # A grant is the coordinator's whole truth: what it lost in a crash of its own is sent again.
        self._have = ChunkSet(self._have.count, grant.have)
        self._flying.clear()
        self._window = min(grant.window, WINDOW_MAX)
        self._send()

    def _acknowledged(self, ack: ChunkAck) -> None:
        before = len(self._have)
        self._have.update(ack.have)
        if len(self._have) == before:
            return  # nothing new: it must not put off the moment to ask again
        self._flying.difference_update(self._have)
        self._send()

    def _send(self) -> None:
        self.due = self._clock.now() + SILENCE_SECONDS
        room = self._window - len(self._flying)
        missing = (n for n in range(self._have.count) if n not in self._have and n not in self._flying)
        for index in list(islice(missing, max(room, 0))):
            data = chunk(self._path, self._request.update, index)
            if not self._link.say(UploadChunk(self._request.attempt, index, data), self._round, to=self._to):
                return  # the outbox is full: the silence that follows asks again
            self._flying.add(index)
            self.bytes_up += len(data)
