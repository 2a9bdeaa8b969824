"""Deleting what a round leaves in the spool, beside the next round: no device waits for a disk to unlink its files.

A folder is first given another name, at one stroke, so that whoever starts after a kill knows it for rubbish. Folders
that an operator keeps (`keep_updates`) are never renamed, and never deleted.
"""

from __future__ import annotations

import contextlib
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from edgewise_coordinator.state import StateStore

DONE = ".done"
KEEPS = "keep_updates"  # whether the last process kept them, where the state remembers it


class Sweeper:
    """Deletes folders of one spool in a thread of its own, in order.

    Args:
        spool: the folder that has one for each round.
    """

    def __init__(self, spool: Path) -> None:
        self._spool = spool
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="sweeper")

    def left_behind(self, store: StateStore, *, keep: bool) -> None:
        """Delete what a killed process did not come to: what it had renamed, and the folder of an ended last round."""
        for folder in self._spool.glob(f"*{DONE}"):
            self._delete(folder)
        kept = keep or store.recall(KEEPS, "") == "yes"
        last = store.last_round()
        if not kept and last and store.has_ended(last):
            self.sweep(self._spool / f"{last:06}")
        if keep != (store.recall(KEEPS, "") == "yes"):
            store.remember(KEEPS, "yes" if keep else "no")

    def sweep(self, folder: Path) -> None:
        """Delete a folder; returns at once. One that is not there does nothing."""
        with contextlib.suppress(OSError):  # it is not there, or the disk refuses: then it is deleted where it is
            folder = folder.rename(folder.with_suffix(DONE))
        self._delete(folder)

    def close(self) -> None:
        """Wait until everything is deleted."""
        self._pool.shutdown()

    def _delete(self, folder: Path) -> None:
        self._pool.submit(shutil.rmtree, folder, ignore_errors=True)
