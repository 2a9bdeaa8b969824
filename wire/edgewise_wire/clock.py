"""Time as something that is handed in, so that tests and simulations can own it."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Where the time comes from."""

    def now(self) -> float:
        """Return seconds since some fixed moment; never goes backwards."""

    def wall(self) -> float:
        """Return seconds since the epoch, as well as this machine knows."""


class SystemClock:
    """The machine's own clocks."""

    def now(self) -> float:
        """Return the monotonic clock's seconds."""
        return time.monotonic()

    def wall(self) -> float:
        """Return seconds since the epoch."""
        return time.time()


class ManualClock:
    """A clock that stands still until it is told to move.

    Example:
        >>> clock = ManualClock()
        >>> clock.advance(2.5)
        >>> clock.now()
        2.5
    """

    def __init__(self, start: float = 0.0, wall: float = 0.0) -> None:
        self._now = start
        self._offset = wall - start

    def now(self) -> float:
        """Return the time it was moved to."""
        return self._now

    def wall(self) -> float:
        """Return the same moment as seconds since the epoch."""
        return self._now + self._offset

    def advance(self, seconds: float) -> None:
        """Move forward."""
        self._now += seconds
