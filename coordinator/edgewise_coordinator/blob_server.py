"""Blobs over HTTP beside MQTT: `GET {path}/{hash}` with ranges, for devices that may reach the coordinator directly.

Same bytes, same hashes: a device checks every chunk as if it had come from the broker, so the server need not be
trusted, and a device that cannot reach it takes the broker's chunks. Nothing but the blobs on offer can be asked for.
"""

from __future__ import annotations

import contextlib
import logging
import re
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from edgewise_wire.blobs import Content, read_range
from edgewise_wire.errors import ConfigError, DataError, UnavailableError
from edgewise_wire.messages import BlobRef

log = logging.getLogger("edgewise.coordinator")

PATH = "/blob/"
CONNECTIONS = 64  # served at a time; more wait in the kernel's queue
IDLE_SECONDS = 30.0  # a connection that says nothing for so long is closed
PIECE_BYTES = 1 << 18
_RANGE = re.compile(r"bytes=(\d{0,15})-(\d{0,15})")


class Span(NamedTuple):
    """Bytes `first` to `last`, both included."""

    first: int
    last: int


Find = Callable[[bytes], "tuple[BlobRef, Content] | None"]
"""`find(hash)`: the blob on offer under that hash."""


class BlobServer:
    """An HTTP server in threads of its own; it serves until `close`.

    Args:
        where: `HOST:PORT` to listen on; port 0 takes a free one.
        find: looks a blob up; called from the server's threads.
        public: what devices are told; `http://HOST:PORT` if empty. Say it when a proxy with TLS stands in front.

    Raises:
        ConfigError: if `where` or `public` cannot be read.
        UnavailableError: if nobody can listen there.

    Example:
        >>> server = BlobServer("127.0.0.1:0", lambda blob_hash: None)
        >>> server.url.startswith("http://127.0.0.1:")
        True
        >>> server.close()
    """

    def __init__(self, where: str, find: Find, public: str = "") -> None:
        host, port = parse_where(where)
        try:
            self._server = _Server((host, port), _handler(find))
        except OSError as error:
            raise UnavailableError(
                f"HTTP on {where}: cannot listen there ({error.strerror}); choose another address or port"
            ) from error
        shown = f"[{host}]" if ":" in host else host
        base = public or f"http://{shown}:{self._server.server_address[1]}"
        if urlsplit(base).scheme not in ("http", "https") or not urlsplit(base).hostname:
            self._server.server_close()
            raise ConfigError(f"address for devices {base!r}: expected http://host[:port] or https://host[:port]")
        self.url = base.rstrip("/") + PATH.rstrip("/")
        self._thread = threading.Thread(target=self._server.serve_forever, name="blobs-http", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening; transfers that are under way break off."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


def parse_where(where: str) -> tuple[str, int]:
    """Return the host and the port of `HOST:PORT`.

    Raises:
        ConfigError: if it is not of that form.

    Example:
        >>> parse_where("[::1]:8080")
        ('::1', 8080)
    """
    host, _, port = where.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65_535:
        raise ConfigError(f"HTTP address {where!r}: expected HOST:PORT, for example 127.0.0.1:8080")
    return host.strip("[]"), int(port)


def parse_range(header: str | None, size: int) -> Span | None:
    """Return which bytes of `size` a Range header asks for: all without one, `None` for what cannot be satisfied.

    Example:
        >>> parse_range("bytes=2-", 10), parse_range("bytes=-3", 10), parse_range("bytes=10-", 10)
        (Span(first=2, last=9), Span(first=7, last=9), None)
    """
    if header is None:
        return Span(0, size - 1)
    found = _RANGE.fullmatch(header.strip())
    if found is None or found.groups() == ("", ""):
        return Span(0, size - 1)  # RFC 9110 §14.2: a range that is not understood is ignored
    first, last = found.groups()
    if not first:
        return Span(max(0, size - int(last)), size - 1) if int(last) else None
    span = Span(int(first), min(int(last or size - 1), size - 1))
    return span if span.first <= span.last else None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self._room = threading.BoundedSemaphore(CONNECTIONS)
        if ":" in address[0]:
            import socket

            self.address_family = socket.AF_INET6
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._room.acquire()
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        log.debug("HTTP: %s broke off", client_address)


def _handler(find: Find) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        server_version = "edgewise"
        sys_version = ""
        timeout = IDLE_SECONDS

        def do_GET(self) -> None:
            self._answer(body=True)

        def do_HEAD(self) -> None:
            self._answer(body=False)

        def _answer(self, *, body: bool) -> None:
            found = self._found()
            if found is None:
                self._refuse(HTTPStatus.NOT_FOUND, {})
                return
            ref, content = found
            span = parse_range(self.headers.get("Range"), ref.size)
            if span is None:
                self._refuse(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, {"Content-Range": f"bytes */{ref.size}"})
                return
            partial = self.headers.get("Range") is not None and span != Span(0, ref.size - 1)
            self.send_response(HTTPStatus.PARTIAL_CONTENT if partial else HTTPStatus.OK)
            if partial:
                self.send_header("Content-Range", f"bytes {span.first}-{span.last}/{ref.size}")
            self.send_header("Content-Length", str(span.last - span.first + 1))
            self.send_header("Content-Type", "application/octet-stream")
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("ETag", f'"{ref.hash.hex()}"')
            self.send_header("Cache-Control", "public, max-age=31536000, immutable")
            self.end_headers()
            if body:
                self._send(content, span)

        def _found(self) -> tuple[BlobRef, Content] | None:
            name = self.path.removeprefix(PATH)
            if not re.fullmatch(r"[0-9a-f]{64}", name) or not self.path.startswith(PATH):
                return None
            return find(bytes.fromhex(name))

        def _send(self, content: Content, span: Span) -> None:
            at = span.first
            with contextlib.suppress(OSError):
                while at <= span.last:
                    try:
                        piece = read_range(content, at, min(PIECE_BYTES, span.last + 1 - at))
                    except DataError as error:  # the blob was withdrawn while it was sent
                        log.debug("HTTP: %s", error)
                        self.close_connection = True
                        return
                    self.wfile.write(piece)
                    at += len(piece)

        def _refuse(self, status: HTTPStatus, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            log.debug("HTTP: " + format, *args)

    return Handler
