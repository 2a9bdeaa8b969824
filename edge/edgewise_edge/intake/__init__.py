"""How sentences reach a running agent on their own: a folder that is watched, and a socket for other programs.

One thread serves both, and sleeps until a program connects or it is time to look at the folder. Everything goes through
the example store, so the owner's limits and pauses hold here too.
"""

from __future__ import annotations

import logging
import os
import selectors
import threading
from collections.abc import Callable
from types import TracebackType

from edgewise_edge.intake.folder import WatchedFolder
from edgewise_edge.intake.socket import ExampleSocket
from edgewise_wire.errors import EdgewiseError

__all__ = ["ExampleSocket", "Intake", "WatchedFolder"]

log = logging.getLogger(__name__)

LOOK_SECONDS = 5.0


class Intake:
    """The thread; a context that runs while it is entered.

    Args:
        socket: where programs hand in sentences, already listening.
        folder: where files are looked for.
    """

    def __init__(self, socket: ExampleSocket | None, folder: WatchedFolder | None) -> None:
        self._socket = socket
        self._folder = folder
        self._stopping = threading.Event()
        self._wake = os.pipe()
        self._selector = selectors.DefaultSelector()
        self._thread = threading.Thread(target=self._run, name="intake", daemon=True)

    def __enter__(self) -> Intake:
        self._selector.register(self._wake[0], selectors.EVENT_READ, lambda: None)
        if self._socket is not None:
            self._socket.register(self._selector)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stopping.set()
        os.write(self._wake[1], b"x")
        self._thread.join()
        if self._socket is not None:
            self._socket.close()
        self._selector.close()
        for handle in self._wake:
            os.close(handle)

    def _run(self) -> None:
        while not self._stopping.is_set():
            if self._folder is not None:
                self._guarded(self._folder.look)
            for key, _ in self._selector.select(None if self._folder is None else LOOK_SECONDS):
                self._guarded(key.data)

    def _guarded(self, act: Callable[[], object]) -> None:
        """Do it; what goes wrong with one file or program ends neither the thread nor the agent."""
        try:
            act()
        except (EdgewiseError, OSError) as error:
            log.warning("%s", error)
