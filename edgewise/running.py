"""Running a coordinator to its last round: shown to people, stopped between two messages, rolled back on request."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from edgewise.links import side_channel
from edgewise.live import RoundsView, counted
from edgewise.operating import Operations, log_round
from edgewise_coordinator import requests
from edgewise_coordinator.catalog import Catalog
from edgewise_coordinator.history import History
from edgewise_coordinator.server import Coordinator
from edgewise_coordinator.snapshot import round_states

VIEW_SECONDS = 0.25
PATIENCE_SECONDS = 5.0  # of a selection that lacks devices, before a log is told


class Waiting:
    """Tells a log once, after some seconds, that a selection waits for devices; a terminal shows it all the time."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._told = False

    def words(self, lacking: tuple[int, int] | None, fleet: str, now: float) -> str:
        """Return the sentence when it is time for it, else nothing."""
        if lacking is None:
            self._since, self._told = None, False
            return ""
        if self._since is None:
            self._since = now
        if self._told or now - self._since < PATIENCE_SECONDS:
            return ""
        self._told = True
        wanted, available = lacking
        if not available:
            return (
                f"Waiting for devices: none of fleet {fleet!r} can be asked so far (`edgewise device status` says why)."
            )
        return (
            f"Waiting for {counted(wanted, 'device')}, {available} of fleet {fleet!r} can be asked: start more, or"
            " ask for fewer a round with --cohort."
        )


class Run:
    """A coordinator from its start to its last round; after a rollback another one takes over its directory."""

    def __init__(self, make: Callable[[], Coordinator], directory: Path, http: str | None, http_url: str) -> None:
        self._make, self._directory = make, directory
        self._http, self._http_url = http, http_url
        self._open()

    def _open(self) -> None:
        self._stack = contextlib.ExitStack()
        self.coordinator = self._make()
        self._stack.callback(self.coordinator.close)
        self._stack.enter_context(side_channel(self.coordinator, self._http, self._http_url))
        self._history = History(
            self._directory / "rounds.jsonl", self.coordinator.store, self.coordinator.model.is_measured
        )
        self.coordinator.on_round = self._history.add

    def close(self) -> None:
        """Take the blobs off the broker and let go of the files."""
        self._stack.close()

    def to_end(self, shown_to: Operations, *, quiet: bool) -> list[dict[str, Any]]:
        """Run the rounds, showing them; return their lines."""
        total = self.coordinator.settings.rounds
        view = RoundsView(self.coordinator.artifact.manifest.metrics, total=total, quiet=quiet)
        view.go_on(self._history.rows)
        shown, waiting = len(self._history.rows), Waiting()
        with view, stop_signals() as stop:
            while not self.coordinator.finished and not stop.is_set():
                self.coordinator.step(VIEW_SECONDS)
                request = requests.take(self._directory)
                if request is not None:
                    requests.answer(self._directory, request, partial(self._roll_back, request.version))
                shown = self._tell(view, shown)
                view.show(self.coordinator.describe(), round_states(self.coordinator))
                settings = self.coordinator.settings
                view.note(waiting.words(self.coordinator.lacking(), settings.fleet, time.monotonic()))
                shown_to.show(self.coordinator, self._history.rows)
            self._history.flush()
            self._tell(view, shown)
            shown_to.show(self.coordinator, self._history.rows, now=True)
        return self._history.rows

    def _tell(self, view: RoundsView, shown: int) -> int:
        for row in self._history.rows[shown:]:
            view.add(row)
            log_round(row)
        return len(self._history.rows)

    def _roll_back(self, version: int) -> int:
        """Make an older version the newest; a coordinator anew over the directory goes on as after a restart."""
        with contextlib.closing(Catalog(self._directory)) as catalog:
            catalog.row(version)  # refused before anything is closed
            self._history.flush()
            self.close()
            try:
                return catalog.roll_back(version).version
            finally:
                self._open()


@contextlib.contextmanager
def stop_signals() -> Iterator[threading.Event]:
    """Give an event that Ctrl-C and SIGTERM set, so that the run ends between two messages and not inside one."""
    stop = threading.Event()
    before = {s: signal.signal(s, lambda *_: stop.set()) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for which, handler in before.items():
            signal.signal(which, handler)
