"""Holding still while the disk refuses: said once, tried again with growing waits, over when it takes a round's writes.

Nothing is acknowledged meanwhile, so nothing is lost: devices keep their updates and ask again every ten seconds.
"""

from __future__ import annotations

import contextlib
import logging
import os
from pathlib import Path

from edgewise_coordinator.state import StateStore
from edgewise_wire.clock import Clock
from edgewise_wire.errors import UnavailableError

log = logging.getLogger("edgewise.coordinator")

FIRST_WAIT = 1.0  # seconds before the first new attempt; doubled up to the longest
LONGEST_WAIT = 30.0
PROBE = ".probe"


class Pause:
    """Whether the coordinator holds still because its directory cannot be written.

    Args:
        need: bytes that must be free before work goes on, or it would stop again at the next update.
    """

    def __init__(self, directory: Path, store: StateStore, clock: Clock, need: int) -> None:
        self.reason = ""
        self.retry_at = 0.0
        self.count = 0
        self._probe_file = directory / PROBE
        self._store = store
        self._clock = clock
        self._need = need
        self._since = 0.0
        self._wait = FIRST_WAIT

    @property
    def active(self) -> bool:
        """Whether nothing may be written now."""
        return bool(self.reason)

    def begin(self, error: UnavailableError) -> None:
        """Hold still because of `error`; said once, however often it is met."""
        if self.active:
            return
        self.reason, self._since, self._wait = str(error), self._clock.now(), FIRST_WAIT
        self.retry_at = self._since + self._wait
        self.count += 1
        log.warning("paused: %s; nothing is acknowledged, and it goes on by itself when there is room", self.reason)

    def tried(self) -> bool:
        """Return whether a pause has just ended: it is time to try, and the disk takes what a round writes."""
        if not self.active or self._clock.now() < self.retry_at:
            return False
        try:
            self._probe()
        except UnavailableError as error:
            self.reason = str(error)
            self._wait = min(2 * self._wait, LONGEST_WAIT)
            self.retry_at = self._clock.now() + self._wait
            return False
        log.warning("going on after a pause of %.0f s", self._clock.now() - self._since)
        self.reason = ""
        return True

    def _probe(self) -> None:
        self._store.remember("probed", str(self._clock.wall()))
        try:
            with self._probe_file.open("wb", buffering=0) as file:
                self._reserve(file.fileno())
                os.fsync(file.fileno())
        except OSError as error:
            raise UnavailableError(f"{self._probe_file.parent}: cannot be written ({error.strerror})") from error
        finally:
            with contextlib.suppress(OSError):
                self._probe_file.unlink(missing_ok=True)

    def _reserve(self, handle: int) -> None:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(handle, 0, self._need)
            return
        block = bytes(1 << 20)
        for _ in range(-(-self._need // len(block))):
            os.write(handle, block)
