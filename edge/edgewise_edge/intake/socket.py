"""A socket in the device's folder for other programs of its owner: one sentence a line, one answer a line.

    $ printf 'see you at seven\\n' | nc -NU ~/.local/share/edgewise/examples.sock
    ok 17

`ok` and the example's number comes when it is on disk; `no` and the reason when it is not (collecting is paused, the
text is empty or too long, the disk is full). Only its owner can connect: the socket's mode is 0600, in a folder of
0700.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
from pathlib import Path

from edgewise_edge.store import TEXT_CHARACTERS, ExampleStore
from edgewise_wire.errors import EdgewiseError, UnavailableError

LINE_BYTES = 4 * TEXT_CHARACTERS + 2  # as many bytes of UTF-8 as an example may have characters
CLIENTS_MAX = 8


class ExampleSocket:
    """Takes sentences at `path`, without a thread of its own: a selector calls what it registers.

    Raises:
        UnavailableError: if nothing can listen there.
    """

    def __init__(self, path: Path, store: ExampleStore) -> None:
        self.path = path
        self._store = store
        self._listener = _listen(path)
        self._selector: selectors.BaseSelector | None = None
        self._clients: list[_Client] = []

    def register(self, selector: selectors.BaseSelector) -> None:
        """Have `selector` call `key.data()` whenever there is something to do."""
        self._selector = selector
        selector.register(self._listener, selectors.EVENT_READ, self._accept)

    def close(self) -> None:
        """Stop listening."""
        for client in list(self._clients):
            self._drop(client)
        self._listener.close()
        with contextlib.suppress(OSError):
            self.path.unlink()

    def _accept(self) -> None:
        link, _ = self._listener.accept()
        link.setblocking(False)
        if len(self._clients) >= CLIENTS_MAX or self._selector is None:
            link.close()
            return
        client = _Client(link)
        self._clients.append(client)
        self._selector.register(link, selectors.EVENT_READ, lambda: self._serve(client))

    def _serve(self, client: _Client) -> None:
        try:
            lines, ended = client.read()
            for line in lines:
                client.answer(self._take(line))
            if ended:
                self._drop(client)
        except OSError:  # gone, or it never reads its answers
            self._drop(client)

    def _take(self, line: bytes) -> str:
        try:
            return f"ok {self._store.add(line.decode('utf-8', 'replace'))}"
        except EdgewiseError as error:
            return f"no {error}"

    def _drop(self, client: _Client) -> None:
        self._clients.remove(client)
        if self._selector is not None:
            self._selector.unregister(client.link)
        client.link.close()


class _Client:
    """One program: what it has said of a line so far."""

    def __init__(self, link: socket.socket) -> None:
        self.link = link
        self._begun = b""

    def read(self) -> tuple[list[bytes], bool]:
        """Return whole lines, and whether the program is done; its last line needs no end."""
        data = self.link.recv(LINE_BYTES)
        *lines, self._begun = (self._begun + data).split(b"\n")
        if len(self._begun) > LINE_BYTES:
            self.answer("no a line is too long")
            return lines, True
        if not data and self._begun.strip():
            lines.append(self._begun)
        return lines, not data

    def answer(self, text: str) -> None:
        self.link.sendall(f"{text}\n".encode())


def _listen(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    old = os.umask(0o177)
    try:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()  # of an agent that was killed; who runs now holds the folder's lock
        listener.bind(str(path))
        listener.listen(CLIENTS_MAX)
    except OSError as error:
        listener.close()
        raise UnavailableError(f"socket {path}: nobody can listen there ({error.strerror or error})") from error
    finally:
        os.umask(old)
    listener.setblocking(False)
    return listener
