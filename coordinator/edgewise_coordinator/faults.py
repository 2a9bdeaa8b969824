"""The named points of a round at which a kill is proved to lose nothing.

The coordinator calls its fault hook at each of them. The hook is `no_fault` unless a test passes another one, or the
environment variable EDGEWISE_FAULT names a point: then the process ends itself there by SIGKILL, as a power cut would.
"""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from enum import Enum
from typing import TypeAlias

from edgewise_wire.errors import ConfigError

VARIABLE = "EDGEWISE_FAULT"


class FaultPoint(str, Enum):
    """Where a coordinator may die, in the order of a round."""

    ROUND_RECORDED = "round-recorded"
    """The round has a row; its blobs are not on the broker."""
    BLOB_PUBLISHED = "blob-published"
    """One chunk of a blob was handed to the transport."""
    BEFORE_SELECTION = "before-selection"
    """The round is open and looks whether there are enough devices."""
    AFTER_SELECTION = "after-selection"
    """Devices were drawn; nothing is recorded."""
    BEFORE_ASSIGNMENT = "before-assignment"
    """The participants are recorded; none has been told."""
    AFTER_ASSIGNMENT = "after-assignment"
    """One assignment was handed to the transport."""
    AFTER_GRANT = "after-grant"
    """An upload slot was granted."""
    BEFORE_SPOOL_WRITE = "before-spool-write"
    """A chunk has come and is not in the spool."""
    AFTER_SPOOL_WRITE = "after-spool-write"
    """A chunk is in the spool, not synced."""
    BEFORE_SPOOL_SYNC = "before-spool-sync"
    """The last chunk is in the spool; the file is not synced and has not got its name."""
    AFTER_SPOOL_SYNC = "after-spool-sync"
    """The update is on disk under its name; the report has no row."""
    AFTER_REPORT_ROW = "after-report-row"
    """The report has its row (an evaluation too); it is not in the sum and nobody was told."""
    AFTER_FOLD = "after-fold"
    """The update is in the sum; nobody was told."""
    AFTER_ACKNOWLEDGEMENT = "after-acknowledgement"
    """The acknowledgement was handed to the transport."""
    SECURE_RECORDED = "secure-recorded"
    """What devices said in a secure round is recorded; none was answered."""
    SECURE_ROSTER = "secure-roster"
    """The roster of a secure round is recorded; no device has seen it."""
    SECURE_SHARERS = "secure-sharers"
    """It is recorded who shared secrets; nobody was told."""
    BEFORE_CLOSING = "before-closing"
    """The goal is reached; nothing of it is recorded."""
    BEFORE_AGGREGATE = "before-aggregate"
    """It is recorded that the round has its reports."""
    SECURE_SURVIVORS = "secure-survivors"
    """It is recorded whose masked updates count; nobody was told."""
    SECURE_OPENABLE = "secure-openable"
    """Enough shares are opened and recorded; every mask is still in the sum."""
    SECURE_SPENT = "secure-spent"
    """What the sum costs is recorded, where it costs something; every mask is still in it."""
    AFTER_AGGREGATE = "after-aggregate"
    """The next weights exist, in memory alone."""
    AFTER_STATE_FILE = "after-state-file"
    """The server optimizer's state of the next version is on disk; its weights are not."""
    AFTER_VERSION_FILES = "after-version-files"
    """The next version's files are on disk; it has no row."""
    AFTER_COMMIT = "after-commit"
    """The version and the end of the round are recorded; the spool is still there, the blobs are the old ones."""
    BEFORE_PUBLISH = "before-publish"
    """The spool is being deleted; the next round has not begun."""


IN_SECURE_ROUNDS = frozenset(point for point in FaultPoint if point.name.startswith("SECURE_"))
"""The points that a round without secure aggregation does not pass."""

FaultHook: TypeAlias = Callable[[FaultPoint], None]


def no_fault(point: FaultPoint) -> None:
    """Go on: what happens at every point unless somebody asked for a fault."""


def kill_at(point: FaultPoint, count: int = 1, seconds: float = 0.0) -> FaultHook:
    """Return a hook that ends this process by SIGKILL when `point` is passed for the `count`-th time.

    `seconds` are waited before, so that what was handed to the transport has left.
    """
    passed: Counter[FaultPoint] = Counter()

    def hook(at: FaultPoint) -> None:
        passed[at] += 1
        if at is point and passed[at] == count:
            time.sleep(seconds)
            os.kill(os.getpid(), signal.SIGKILL)

    return hook


def hook_from(value: str | None) -> FaultHook:
    """Return the hook that `point[:count[:seconds]]` describes; nothing describes `no_fault`.

    Raises:
        ConfigError: if there is no such point or a number cannot be read.

    Example:
        >>> hook_from(None) is no_fault
        True
    """
    if not value:
        return no_fault
    name, *numbers = value.split(":")
    try:
        count, seconds = [*numbers, *("1", "0")[len(numbers) :]]
        return kill_at(FaultPoint(name), int(count), float(seconds))
    except ValueError as error:
        points = ", ".join(point.value for point in FaultPoint)
        raise ConfigError(f"{VARIABLE}={value}: expected point[:count[:seconds]], point one of {points}") from error
