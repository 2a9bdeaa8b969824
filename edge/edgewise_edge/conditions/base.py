"""What every condition is: something of the machine that is read, and a rule of its owner that it is held against."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from edgewise_edge.policy import Policy
from edgewise_wire.clock import Clock

COMMAND_SECONDS = 2.0  # a system bus that does not answer must not hold up training for longer


@dataclass(frozen=True, slots=True)
class Finding:
    """What a look found: `reading` and `rule` are for people."""

    name: str
    reading: str
    rule: str
    holds: bool

    def __str__(self) -> str:
        return f"{self.name}: {self.reading}; its owner's rule: {self.rule}"


def run_command(command: Sequence[str]) -> str | None:
    """Return what a program prints, `None` if it is not there, fails or takes too long."""
    import subprocess  # half a megabyte that a device without a network manager never needs

    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=True)  # noqa: S603
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return done.stdout


def free_bytes(path: Path) -> int | None:
    """Return the bytes that an unprivileged process may still write at `path`, `None` where nobody can say."""
    try:
        found = os.statvfs(path)
    except (OSError, AttributeError):  # no statvfs on Windows
        return None
    return found.f_bavail * found.f_frsize


@dataclass(frozen=True, slots=True)
class Machine:
    """Where conditions read: the real machine, or a folder that looks like one.

    Attributes:
        home: the device's folder, on whose disk space is looked for.
        policy: returns the owner's rules as they are now.
        date: returns seconds since the epoch, `None` while nobody knows.
        root: what stands for `/`.
        run: runs a program and returns what it prints.
        free: returns the free bytes of a folder's disk.
        cores: of the processor.
    """

    home: Path
    policy: Callable[[], Policy]
    date: Callable[[], float | None]
    root: Path = Path("/")
    run: Callable[[Sequence[str]], str | None] = run_command
    free: Callable[[Path], int | None] = free_bytes
    cores: int = os.cpu_count() or 1

    def read(self, path: str | Path) -> str | None:
        """Return a small file's text, `None` if there is none; `path` is below the root."""
        try:
            return (self.root / path).read_text("utf-8", "replace").strip()
        except OSError:
            return None

    def glob(self, pattern: str) -> list[Path]:
        """Return the paths below the root that a pattern matches, in order."""
        return sorted(self.root.glob(pattern))


class Condition(Protocol):
    """A plug-in: `period` is for how many seconds a look stays good enough, `check` looks."""

    period: float

    def check(self) -> Finding:
        """Look at the machine; what cannot be read is no reason to raise."""


class Watched:
    """A condition as the agent asks it: between any two batches, and looked at once a period at the most."""

    def __init__(self, condition: Condition, clock: Clock) -> None:
        self.condition = condition
        self._clock = clock
        self._again = -math.inf
        self._finding: Finding | None = None

    def finding(self) -> Finding:
        """Return what the latest look found."""
        if self._finding is None or self._clock.now() >= self._again:
            self._finding = self.condition.check()
            self._again = self._clock.now() + self.condition.period
        return self._finding

    def obstacle(self) -> str | None:
        """Return why not now, or `None`."""
        found = self.finding()
        return None if found.holds else str(found)
