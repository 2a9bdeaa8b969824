"""Who may take part, as far as the coordinator is concerned; the broker's certificates and ACL say it first."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol, TypeAlias

from edgewise_wire.clock import Clock
from edgewise_wire.errors import ConfigError
from edgewise_wire.messages import Envelope

LOOK_SECONDS = 1.0  # how late a revocation is noticed

Seal: TypeAlias = Callable[[str, Envelope], bytes]
"""`seal(device, envelope)`: an assignment's bytes, signed for that device (`edgewise_wire.crypto.signing`)."""


class Members(Protocol):
    """Knows who belongs to a fleet."""

    def admits(self, device: str) -> bool:
        """Return whether what a device says may be listened to."""

    def leavers(self) -> Iterable[str]:
        """Return who has been revoked since this was last asked; everyone who is, the first time."""


class Everyone:
    """No list: whoever the broker lets in belongs."""

    def admits(self, device: str) -> bool:
        """Return true."""
        return True

    def leavers(self) -> Iterable[str]:
        """Return nobody."""
        return ()


class Enrolled:
    """Those in a fleet directory's index who have not been revoked; the file is read again when it changes.

    Raises:
        ConfigError: if there is no such index.
    """

    def __init__(self, index: Path, clock: Clock) -> None:
        self._index = index
        self._clock = clock
        self._stamp: tuple[int, int] | None = None
        self._look_at = 0.0
        self._members: frozenset[str] = frozenset()
        self._revoked: frozenset[str] = frozenset()
        self._told: frozenset[str] = frozenset()
        self._read()

    def admits(self, device: str) -> bool:
        """Return whether a device is enrolled and not revoked."""
        self._look()
        return device in self._members

    def leavers(self) -> Iterable[str]:
        """Return who has been revoked since this was last asked."""
        self._look()
        news, self._told = self._revoked - self._told, self._told | self._revoked
        return sorted(news)

    def _look(self) -> None:
        if self._clock.now() >= self._look_at:
            self._look_at = self._clock.now() + LOOK_SECONDS
            self._read()

    def _read(self) -> None:
        try:
            found = self._index.stat()
            stamp = (found.st_mtime_ns, found.st_ino)
            if stamp == self._stamp:
                return
            devices = json.loads(self._index.read_text("utf-8"))["devices"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigError(
                f"{self._index}: not a fleet's index ({error}); `edgewise fleet init` makes one"
            ) from error
        self._stamp = stamp
        in_force = {name for name, papers in devices.items() if any(p["revoked"] is None for p in papers)}
        self._members, self._revoked = frozenset(in_force), frozenset(devices) - in_force
        self._told &= self._revoked  # one that was enrolled anew may be revoked again
