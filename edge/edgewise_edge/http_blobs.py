"""Chunks over HTTP(S), where an assignment says that its blobs are to be had so; in a thread of its own.

Nothing that comes this way is believed: chunks go through the same hashes as those from the broker. Redirects are not
followed, and an answer that is not just the range asked for ends the matter; the broker has the rest.
"""

from __future__ import annotations

import http.client
import logging
import queue
import ssl
import threading
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from urllib.parse import SplitResult, urlsplit

from edgewise_wire.blobs import chunk_length
from edgewise_wire.errors import UnavailableError
from edgewise_wire.messages import BlobRef, Range

log = logging.getLogger(__name__)

SECONDS = 10.0  # without a byte: the coordinator is not to be reached this way
WAITING = 16  # chunks fetched and not yet taken: 2 MB of a small device's memory


class HttpChunks:
    """The missing chunks of one blob, fetched one range after the other; `take` gives what has come.

    Args:
        url: where blobs are, without a slash at its end.
        ref: which one.
        missing: which chunks of it.
    """

    def __init__(self, url: str, ref: BlobRef, missing: Sequence[Range]) -> None:
        self._url = url
        self._ref = ref
        self._missing = missing
        self._come: queue.Queue[tuple[int, bytes] | UnavailableError] = queue.Queue(WAITING)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="blobs-http", daemon=True)
        self._thread.start()

    def take(self) -> Iterator[tuple[int, bytes]]:
        """Yield the chunks that have come since the last time.

        Raises:
            UnavailableError: if the server cannot be reached or does not give what it should.
        """
        while True:
            try:
                one = self._come.get_nowait()
            except queue.Empty:
                return
            if isinstance(one, UnavailableError):
                raise one
            yield one

    def stop(self) -> None:
        """Fetch no more."""
        self._stopped.set()

    def _run(self) -> None:
        try:
            url = urlsplit(f"{self._url}/{self._ref.hash.hex()}")  # a ValueError is possible: a peer has said it
            link = self._connect(url)
            try:
                for span in self._missing:
                    for index, data in self._fetch(link, url.path, span):
                        if not self._put((index, data)):
                            return
            finally:
                link.close()
        except (OSError, http.client.HTTPException, ValueError, UnavailableError) as error:
            self._put(UnavailableError(f"{self._url[:120]!r}: no blobs over HTTP ({error})"))

    def _connect(self, url: SplitResult) -> http.client.HTTPConnection:
        if url.scheme == "https":
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(url.netloc, timeout=SECONDS, context=context)
        if url.scheme != "http":
            raise UnavailableError(f"{url.scheme!r} is neither http nor https")
        return http.client.HTTPConnection(url.netloc, timeout=SECONDS)

    def _fetch(self, link: http.client.HTTPConnection, path: str, span: Range) -> Iterator[tuple[int, bytes]]:
        """Yield the chunks of one range, each as soon as it is there."""
        first = span.first * self._ref.chunk_bytes
        last = span.last * self._ref.chunk_bytes + chunk_length(self._ref, span.last) - 1
        link.request("GET", path, headers={"Range": f"bytes={first}-{last}"})
        answer = link.getresponse()
        expected = f"bytes {first}-{last}/{self._ref.size}"
        whole = answer.status == HTTPStatus.OK and last - first + 1 == self._ref.size
        if not whole and (answer.status, answer.headers["Content-Range"]) != (HTTPStatus.PARTIAL_CONTENT, expected):
            raise UnavailableError(f"status {answer.status} instead of {expected}")
        for index in range(span.first, span.last + 1):
            length = chunk_length(self._ref, index)
            data = answer.read(length)
            if len(data) != length:
                raise UnavailableError(f"the transfer broke off in chunk {index}")
            yield index, data
        answer.read(1)  # lets the connection serve the next range

    def _put(self, item: tuple[int, bytes] | UnavailableError) -> bool:
        while not self._stopped.is_set():
            try:
                self._come.put(item, timeout=0.2)
                return True
            except queue.Full:
                continue
        return False
