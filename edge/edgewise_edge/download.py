"""Fetching blobs chunk by chunk, every chunk checked: from retained messages, a bounded window of topics at a time; or
over HTTP, where the assignment offers that and for as long as it works.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from edgewise_edge.link import Heard, Link
from edgewise_edge.phases import Phase
from edgewise_edge.progress import Step
from edgewise_wire.blobs import BlobAssembler, BlobStore, chunk_count
from edgewise_wire.clock import Clock
from edgewise_wire.errors import ProtocolError, UnavailableError
from edgewise_wire.messages import BlobChunk, BlobRef, BlobRequest, DeviceState, Range
from edgewise_wire.ranges import ChunkSet, indices
from edgewise_wire.topics import blob_chunk

if TYPE_CHECKING:
    from edgewise_edge.http_blobs import HttpChunks

log = logging.getLogger(__name__)

WINDOW = 8  # chunk topics asked for at a time: 1 MB on the way, and as many filters as AWS IoT Core takes at once
LOOK_SECONDS = 0.05  # how often what came over HTTP is taken
SILENCE_SECONDS = 10.0  # no chunk for so long: the broker does not have them, so ask the coordinator


class Download(Phase):
    """Fetches the blobs of an assignment into the store, one after the other; those that are there cost nothing.

    Law: a file stands under a hash in the store only if its bytes have that hash. `url` is where the blobs are to be
    had over HTTP too, empty for nowhere.
    """

    state = DeviceState.DOWNLOADING

    def __init__(
        self, link: Link, clock: Clock, store: BlobStore, round_number: int, refs: Iterable[BlobRef], url: str = ""
    ) -> None:
        self._url = url
        self._http: HttpChunks | None = None
        self._link = link
        self._clock = clock
        self._store = store
        self._round = round_number
        self._waiting = list(refs)
        self._total = sum(map(chunk_count, self._waiting))
        self._fetched = 0
        self._assembler: BlobAssembler | None = None
        self._missing: Iterator[int] = iter(())
        self._asked: set[int] = set()
        self.bytes_down = 0

    @property
    def finished(self) -> bool:
        """Whether every blob is in the store."""
        return self._assembler is None and not self._waiting

    @property
    def progress(self) -> Step:
        """Chunks that are there, of how many."""
        return Step(self._fetched, self._total, 0.0)

    def start(self) -> None:
        """Take up what is on disk and ask for the first chunks."""
        self._next()

    def connected(self) -> None:
        """The transport renews the subscriptions; the silence is counted from now."""
        if self._http is None:
            self._wait()

    def hear(self, heard: Heard) -> None:
        """Take a chunk if it is one that was asked for and its bytes are the right ones."""
        body, assembler = heard.body, self._assembler
        if not isinstance(body, BlobChunk) or assembler is None or body.hash != assembler.ref.hash:
            return
        if body.index not in self._asked:
            return
        try:
            self._keep(assembler, body.index, body.data)
        except ProtocolError as error:
            self._link.drop("corrupt", str(error))
            return
        self._asked.discard(body.index)
        self._link.transport.unsubscribe(self._topic(body.index))
        self._wait()
        self._next() if assembler.complete else self._ask()

    def tick(self) -> None:
        """Take what came over HTTP; after a silence of the broker, name what is missing."""
        if self._clock.now() < self.due or self._assembler is None:
            return
        if self._http is not None:
            self._take(self._http, self._assembler)
            return
        # If nothing at all of the window came, the broker has probably lost the blob: name all that is missing.
        lost = self._assembler.missing() if len(self._asked) >= WINDOW else _ranges(self._assembler, self._asked)
        self._link.say(BlobRequest(self._assembler.ref.hash, lost), self._round)
        self._wait()

    def _keep(self, assembler: BlobAssembler, index: int, data: bytes) -> None:
        if assembler.add(index, data):
            self._fetched += 1
            self.bytes_down += len(data)

    def _take(self, http: HttpChunks, assembler: BlobAssembler) -> None:
        """Keep what came over HTTP; when that fails, the broker has the rest."""
        self.due = self._clock.now() + LOOK_SECONDS
        try:
            for index, data in http.take():
                self._keep(assembler, index, data)
        except (ProtocolError, UnavailableError) as error:
            log.info("%s; the broker has the rest", error)
            self._leave_http()
            self._url = ""
            self._missing = indices(assembler.missing())
            self._wait()
            self._ask()
            return
        if assembler.complete:
            self._leave_http()
            self._next()

    def _leave_http(self) -> None:
        if self._http is not None:
            self._http.stop()
            self._http = None

    def stop(self) -> None:
        """Stop asking; what came is kept on disk."""
        self._leave_http()
        if self._asked:
            self._link.transport.unsubscribe(*(self._topic(index) for index in self._asked))
            self._asked.clear()
        if self._assembler is not None:
            self._assembler.close()

    def _next(self) -> None:
        """Finish the blob in work and open the next one that is not whole yet."""
        while True:
            if self._assembler is not None:
                if not self._assembler.complete:
                    break
                self._assembler.finish()
                self._assembler = None
            if not self._waiting:
                return
            self._assembler = self._store.assembler(self._waiting.pop(0))
            missing = self._assembler.missing()
            self._missing = indices(missing)
            self._fetched += chunk_count(self._assembler.ref) - sum(span.last - span.first + 1 for span in missing)
        if self._url:
            from edgewise_edge.http_blobs import HttpChunks  # HTTP: only where blobs are to be had that way

            self._http = HttpChunks(self._url, self._assembler.ref, missing)
            self.due = self._clock.now() + LOOK_SECONDS
            return
        self._wait()
        self._ask()

    def _ask(self) -> None:
        fresh = [index for _, index in zip(range(WINDOW - len(self._asked)), self._missing, strict=False)]
        if fresh:
            self._asked.update(fresh)
            self._link.transport.subscribe(*(self._topic(index) for index in fresh))

    def _wait(self) -> None:
        self.due = self._clock.now() + SILENCE_SECONDS

    def _topic(self, index: int) -> str:
        assert self._assembler is not None  # noqa: S101  asked only while there is one
        return blob_chunk(self._link.identity.fleet, self._assembler.ref.hash, index)


def _ranges(assembler: BlobAssembler, chosen: Iterable[int]) -> tuple[Range, ...]:
    chunks = ChunkSet(chunk_count(assembler.ref))
    for index in chosen:
        chunks.add(index)
    return chunks.ranges()
