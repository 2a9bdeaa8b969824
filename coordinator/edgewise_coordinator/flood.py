"""How much one device may say: a leaky bucket for each, so that a flood costs its sender and nobody else."""

from __future__ import annotations

from edgewise_wire.clock import Clock

BURST = 4096  # messages at once: twice the chunks of the largest update
PER_SECOND = 256.0  # messages: 32 MB/s of chunks
DEVICES_KEPT = 100_000  # buckets; one that has run empty says nothing and is dropped first


class FloodGate:
    """Counts each device's messages; what goes over is dropped unread, and a repetition will replace it.

    Example:
        >>> from edgewise_wire.clock import ManualClock
        >>> gate = FloodGate(ManualClock(0.0, 0.0), burst=2)
        >>> [gate.passes("pi-7") for _ in range(3)]
        [True, True, False]
    """

    def __init__(self, clock: Clock, burst: int = BURST, per_second: float = PER_SECOND) -> None:
        self._clock = clock
        self._burst = burst
        self._per_second = per_second
        self._levels: dict[str, tuple[float, float]] = {}

    def passes(self, device: str) -> bool:
        """Count a message and return whether it is to be read."""
        now = self._clock.now()
        level, since = self._levels.get(device, (0.0, now))
        level = max(0.0, level - (now - since) * self._per_second)
        fits = level + 1 <= self._burst
        if device not in self._levels and len(self._levels) >= DEVICES_KEPT:
            self._forget_the_quiet(now)
        self._levels[device] = (level + fits, now)
        return fits

    def _forget_the_quiet(self, now: float) -> None:
        loud = {d: (n, at) for d, (n, at) in self._levels.items() if n > (now - at) * self._per_second}
        self._levels = loud if len(loud) < DEVICES_KEPT else {}
