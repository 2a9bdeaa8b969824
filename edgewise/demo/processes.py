"""Processes of one's own: started with a log, watched, and ended by id, last started first."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO

from edgewise_wire.errors import RunError

PATIENCE_SECONDS = 10.0  # to end by itself after SIGTERM


class Processes:
    """A context manager that leaves nothing running behind.

    Every process leads a session of its own, so that Ctrl-C reaches us alone and we decide who ends when.
    """

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._running: list[tuple[str, subprocess.Popen[bytes]]] = []
        logs.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> Processes:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for _, process in reversed(self._running):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for _, process in reversed(self._running):
            try:
                process.wait(PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def start(
        self, name: str, *arguments: str, output: int | None = None, watched: bool = False
    ) -> subprocess.Popen[bytes]:
        """Start `edgewise ARGUMENTS`; what it says goes to its log, or to the terminal if `watched`."""
        with contextlib.ExitStack() as stack:
            log: IO[bytes] = stack.enter_context(self.log(name).open("ab"))
            process = subprocess.Popen(  # noqa: S603  our own command
                [sys.executable, "-m", "edgewise", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log if output is None else output,
                stderr=None if watched else log,
                start_new_session=True,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
        self._running.append((name, process))
        return process

    def log(self, name: str) -> Path:
        """Return where a process's words go."""
        return self._logs / f"{name}.log"

    def ended(self) -> list[str]:
        """Return the names of those that are no longer running."""
        return [name for name, process in self._running if process.poll() is not None]


def run_to_end(processes: Processes, name: str, arguments: Sequence[str]) -> bytes:
    """Run `edgewise ARGUMENTS` to its end with its words on the terminal; return what it wrote to standard output.

    Raises:
        RunError: if it fails; it has then said why.
    """
    process = processes.start(name, *arguments, output=subprocess.PIPE, watched=True)
    output, _ = process.communicate()
    if process.returncode != 0:
        raise RunError(f"the {name} ended with status {process.returncode}; it said why above")
    return output
