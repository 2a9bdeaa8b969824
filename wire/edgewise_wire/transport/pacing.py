"""When to send the next message and when to try the next connection; both by an injected clock or generator."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from edgewise_wire.errors import ConfigError

_MESSAGE_BYTES = 128 * 1024  # the largest packet edgewise sends (AWS IoT Core refuses more)


@dataclass(frozen=True, slots=True)
class PublishRate:
    """What a broker lets one connection publish: messages a second and bytes a second.

    AWS IoT Core, for one: `PublishRate(messages=100, bytes=512 * 1024)`.
    """

    messages: float = math.inf
    bytes: float = math.inf

    def __post_init__(self) -> None:
        if not (self.messages > 0 and self.bytes > 0):
            raise ConfigError(f"publish rate {self.messages}/s, {self.bytes} bytes/s: expected more than 0 of both")


class TokenBucket:
    """A bucket that never lets more than 90 % of `rate` pass in any one second, so that jitter breaks no limit.

    The law: burst + refill in a second <= 0.9 rate, for every window of a second. Where one message (`largest`) is a
    large part of the rate that cannot hold; then the refill is half the rate.

    Example:
        >>> now = [0.0]
        >>> bucket = TokenBucket(100, largest=1, clock=lambda: now[0])
        >>> sum(bucket.take(1) for _ in range(50))
        10
        >>> now[0] = 1.0
        >>> round(bucket.delay(1), 6), bucket.take(1)
        (0.0, True)
    """

    def __init__(self, rate: float, *, largest: float, clock: Callable[[], float]) -> None:
        self._capacity = max(rate / 10, largest)
        self._refill = max(0.9 * rate - self._capacity, rate / 2)
        self._tokens = self._capacity
        self._clock = clock
        self._then = clock()

    def delay(self, amount: float) -> float:
        """Return the seconds until `amount` may pass; 0 if it may now."""
        if math.isinf(self._capacity):
            return 0.0
        now = self._clock()
        self._tokens = min(self._capacity, self._tokens + (now - self._then) * self._refill)
        self._then = now
        # What is larger than the bucket passes when the bucket is full, and leaves a debt behind.
        missing = min(amount, self._capacity) - self._tokens
        return missing / self._refill if missing > 1e-9 * self._capacity else 0.0

    def spend(self, amount: float) -> None:
        """Take `amount` out."""
        if not math.isinf(self._capacity):
            self._tokens -= amount

    def take(self, amount: float) -> bool:
        """Take `amount` out if it may pass now; return whether it did."""
        if self.delay(amount) > 0:
            return False
        self.spend(amount)
        return True


class Pacer:
    """Holds publishes under a `PublishRate`: ask `delay`, send, then `spend`."""

    def __init__(self, rate: PublishRate, clock: Callable[[], float]) -> None:
        self._messages = TokenBucket(rate.messages, largest=1, clock=clock)
        self._bytes = TokenBucket(rate.bytes, largest=_MESSAGE_BYTES, clock=clock)

    def delay(self, size: int) -> float:
        """Return the seconds until a packet of `size` bytes may be sent; 0 if it may now."""
        return max(self._messages.delay(1), self._bytes.delay(size))

    def spend(self, size: int) -> None:
        """Count a packet of `size` bytes as sent."""
        self._messages.spend(1)
        self._bytes.spend(size)


class Dice(Protocol):
    """What draws a number evenly from 0 to 1: `random.Random`, or a NumPy generator."""

    def random(self) -> float:
        """Draw one."""


class Backoff:
    """The waits between attempts to connect: doubling, with jitter, so that a fleet does not return as one.

    Each wait is drawn evenly from the upper half of `base * 2**n`, at most `cap` (Brooker 2015, "Exponential Backoff
    and Jitter", the "equal jitter").

    Example:
        >>> import random
        >>> backoff = Backoff(random.Random(0), base=1, cap=8)
        >>> [0.5 * 2**n <= backoff.next() <= 2**n for n in range(4)]
        [True, True, True, True]
    """

    def __init__(self, rng: Dice, *, base: float = 0.25, cap: float = 30.0) -> None:
        self._rng = rng
        self._base = base
        self._cap = cap
        self._tries = 0

    def next(self) -> float:
        """Return the seconds to wait before the next attempt."""
        full = min(self._cap, self._base * 2.0 ** min(self._tries, 60))
        self._tries += 1
        return full * (0.5 + 0.5 * float(self._rng.random()))

    def reset(self) -> None:
        """Begin anew: a link held."""
        self._tries = 0
