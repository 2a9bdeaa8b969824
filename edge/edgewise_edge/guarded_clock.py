"""A clock for machines without a battery behind theirs: it never says a date before the last one it has seen.

A Raspberry Pi starts in 1970, or at the time of its last shutdown, and jumps when the network's time arrives. The last
date seen is kept in `clock.json`. Until the machine's clock is past it the date is unknown (`date` is `None`): nothing
that needs it is done, and what must be stamped is stamped with the last date seen plus the time that has passed since.

A date that turned out wrong must not stand for ever, so it is kept only after the clock went in step with the monotonic
one for ten minutes: a jump into the future that the network's time corrects is forgotten.
"""

from __future__ import annotations

import contextlib
import math
from pathlib import Path

from edgewise_edge.home import read_json, write_json
from edgewise_wire.clock import Clock

SETTLED_SECONDS = 600.0  # NTP has corrected a wrong start by then
STEP_SECONDS = 5.0  # apart from the monotonic clock by more within a look: the clock was set
SAVE_SECONDS = 3600.0  # an SD card is not for writing every minute


class GuardedClock:
    """`inner`'s time, held against the last date seen.

    Args:
        inner: the machine's clocks.
        path: where the last date seen is kept; a file that is torn counts as none.

    Example:
        >>> from edgewise_wire.clock import ManualClock
        >>> GuardedClock(ManualClock(0.0, 1_700_000_000.0), Path("/nowhere/clock.json")).date()
        1700000000.0
    """

    def __init__(self, inner: Clock, path: Path) -> None:
        self._inner = inner
        self._path = path
        seen = read_json(path).get("seen")
        self.seen: float = float(seen) if isinstance(seen, int | float) and math.isfinite(seen) else 0.0
        self._began = self._in_step_since = inner.now()
        self._offset = inner.wall() - inner.now()
        self._saved_at = -math.inf

    def now(self) -> float:
        """Return the monotonic clock's seconds."""
        return self._inner.now()

    def wall(self) -> float:
        """Return seconds since the epoch: the machine's date, or the last one seen and the time passed since."""
        return max(self._inner.wall(), self.seen + self.now() - self._began)

    def date(self) -> float | None:
        """Return seconds since the epoch, `None` while the machine's clock is behind the last date seen.

        Each look also keeps the date as the last one seen, if it is settled, and writes it once an hour.
        """
        self._look()
        wall = self._inner.wall()
        if wall < self.seen:
            return None
        if self._in_step() and self.now() - self._saved_at >= SAVE_SECONDS:
            self._save(wall)
        return wall

    def settled(self) -> float | None:
        """Return the date if the clock has not been set for ten minutes: what deletes by age waits for that."""
        date = self.date()
        return date if self._in_step() else None

    def _in_step(self) -> bool:
        return self.now() - self._in_step_since >= SETTLED_SECONDS

    def _save(self, date: float) -> None:
        with contextlib.suppress(OSError):  # a full disk: the date is kept later
            write_json(self._path, {"seen": date})
            self._saved_at = self.now()

    def _look(self) -> None:
        offset = self._inner.wall() - self._inner.now()
        if abs(offset - self._offset) > STEP_SECONDS:
            self._in_step_since = self.now()
        self._offset = offset
