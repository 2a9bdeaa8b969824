"""The agent's end of the process that computes (`computer.py`): started, given jobs one at a time, heard, ended.

The two speak lines of JSON: a job in; out that it is taken up, progress, the end. The child dies with the agent.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from edgewise_edge.jobs import Job
from edgewise_wire.errors import RunError, UnavailableError

COMMAND = [sys.executable, "-m", "edgewise_edge.computer"]
LINE_BYTES_MAX = 16 * 1024 * 1024  # a report names every chunk's hash; more is no line of ours
MEMORY = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": "65536",  # what is freed goes back to the system at once, arrays above all
    "MALLOC_TRIM_THRESHOLD_": "65536",
}
"""glibc's settings for the child; another C library passes over them."""


class TrainerProcess:
    """One process.

    Raises:
        UnavailableError: if it cannot be started.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._read = b""
        try:
            self._child = subprocess.Popen(  # noqa: S603 - this very Python
                COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=_environment(), bufsize=0,
                start_new_session=True,  # Ctrl-C is the agent's to handle
            )  # fmt: skip
        except OSError as error:
            raise UnavailableError(f"no process to train in can be started ({error.strerror})") from error
        assert self._child.stdin is not None  # noqa: S101  pipes, as asked
        assert self._child.stdout is not None  # noqa: S101
        self._stdin, self._stdout = self._child.stdin, self._child.stdout

    @property
    def pid(self) -> int:
        """Its number."""
        return self._child.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended; one that has is buried by this look."""
        return self._child.poll() is None

    def give(self, job: Job) -> None:
        """Hand it a job."""
        asked = {
            "home": str(job.home.path), "fleet": job.work.fleet, "device": job.device, "most": job.most,
            "threads": self._threads, "parent": os.getpid(),
        }  # fmt: skip
        with contextlib.suppress(BrokenPipeError):  # dead already: its end says more
            self._stdin.write(json.dumps(asked).encode() + b"\n")

    def said(self, wait: float) -> Sequence[Mapping[str, Any]]:
        """Return what it has said since the last call; wait a moment for it.

        Raises:
            RunError: if it ended without a word, saying of what; if what it says is no line of ours.
        """
        handle = self._stdout.fileno()
        if not select.select([handle], [], [], wait)[0]:
            return ()
        data = os.read(handle, 1 << 16)
        if not data:
            raise self._ended()
        *lines, self._read = (self._read + data).split(b"\n")
        if len(self._read) > LINE_BYTES_MAX:
            raise RunError("the process that trains says more than a report")
        return [json.loads(line) for line in lines]

    def kill(self) -> None:
        """End it, whatever it is doing; afterwards it is gone."""
        if self.running:
            self._child.kill()
            self._child.wait()
        self._stdin.close()
        self._stdout.close()

    def _ended(self) -> RunError:
        """Return what a silent end means; the process's own words stand on standard error."""
        code = self._child.wait()
        if code == -signal.SIGKILL:
            return RunError("the process that trains was killed: most likely the machine ran out of memory")
        if code < 0:
            with contextlib.suppress(ValueError):
                return RunError(f"the process that trains died of {signal.Signals(-code).name}")
        return RunError(f"the process that trains ended without a result (exit status {code})")


def _environment() -> dict[str, str]:
    """Return the child's environment: the modules that the agent has, none that lie about in the current folder."""
    return os.environ | MEMORY | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONSAFEPATH": "1"}
