"""Computing in a process of its own, that ends when it is done: NumPy, the runtime and the model cost a device memory
only while it trains, a graph that kills the runtime does not kill the agent, and stopping takes no batch at all.

The two speak lines of JSON: the job in, progress and then the end out. The update is on disk before the end is said.
The child dies with the agent (`computer.py`), so that after a crash only one process ever works on a session.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
from base64 import b64decode
from collections.abc import Mapping
from typing import Any

from edgewise_edge.host import trim
from edgewise_edge.jobs import Computed, Computing, Job
from edgewise_edge.progress import NOTHING_DONE, Step
from edgewise_wire import errors
from edgewise_wire.codec import decode
from edgewise_wire.errors import EdgewiseError, ProtocolError, RunError, UnavailableError
from edgewise_wire.messages import EvaluationReport, UploadRequest

COMMAND = [sys.executable, "-m", "edgewise_edge.computer"]
WAIT_SECONDS = 0.1  # how long `advance` waits for news; so late is a message from the broker taken
LINE_BYTES_MAX = 16 * 1024 * 1024  # a report names every chunk's hash; more is no line of ours
MEMORY = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": "65536",  # what is freed goes back to the system at once, arrays above all
    "MALLOC_TRIM_THRESHOLD_": "65536",
}
"""glibc's settings for the child; another C library passes over them."""


def apart(threads: int = 1) -> Computing:
    """Return what computes each job in a new process, with so many threads."""
    return lambda job: Apart(job, threads)


class Apart:
    """A job in a process of its own.

    Raises:
        UnavailableError: if no process can be started.
    """

    def __init__(self, job: Job, threads: int) -> None:
        self._step = NOTHING_DONE
        self._read = b""
        self.result: Computed | None = None
        trim()  # what a download took is the child's to have
        asked = {
            "home": str(job.home.path), "fleet": job.work.fleet, "device": job.device, "most": job.most,
            "threads": threads, "parent": os.getpid(),
        }  # fmt: skip
        try:
            self._process = subprocess.Popen(  # noqa: S603 - this very Python
                COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=_environment(),
                start_new_session=True,  # Ctrl-C is the agent's to handle
            )  # fmt: skip
        except OSError as error:
            raise UnavailableError(f"no process to train in can be started ({error.strerror})") from error
        assert self._process.stdin is not None  # noqa: S101  a pipe, as asked
        with contextlib.suppress(BrokenPipeError), self._process.stdin as pipe:  # dead already: its end says more
            pipe.write(json.dumps(asked).encode() + b"\n")

    def advance(self) -> Step:
        """Take what the process said; wait a moment for it.

        Raises:
            EdgewiseError: the process's own, in its words; `RunError` if it ended without a word.
        """
        assert self._process.stdout is not None  # noqa: S101  a pipe, as asked
        handle = self._process.stdout.fileno()
        if self.result is not None or not select.select([handle], [], [], WAIT_SECONDS)[0]:
            return self._step
        data = os.read(handle, 1 << 16)
        if not data:
            raise self._ended()
        *lines, self._read = (self._read + data).split(b"\n")
        for line in lines:
            self._take(json.loads(line))
        if len(self._read) > LINE_BYTES_MAX:
            raise RunError("the process that trains says more than a report")
        return self._step

    def stop(self) -> None:
        """End the process, whatever it is doing."""
        if self._process.returncode is None:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _take(self, said: Mapping[str, Any]) -> None:
        if "step" in said:
            self._step = Step(*said["step"])
        elif "error" in said:
            raise _error(said["error"], said["words"])
        else:
            report = decode(b64decode(said["report"])).body if said["report"] else None
            if report is not None and not isinstance(report, UploadRequest | EvaluationReport):
                raise ProtocolError("the process that trains said something else than a report")
            self.result = Computed(report, said["figures"])
            self.stop()

    def _ended(self) -> RunError:
        """Return what a silent end means; the process's own words stand on standard error."""
        code = self._process.wait()
        if code == -signal.SIGKILL:
            return RunError("the process that trains was killed: most likely the machine ran out of memory")
        if code < 0:
            with contextlib.suppress(ValueError):
                return RunError(f"the process that trains died of {signal.Signals(-code).name}")
        return RunError(f"the process that trains ended without a result (exit status {code})")


def _environment() -> dict[str, str]:
    """Return the child's environment: the modules that the agent has, none that lie about in the current folder."""
    return os.environ | MEMORY | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONSAFEPATH": "1"}


def _error(kind: str, words: str) -> EdgewiseError:
    found = getattr(errors, kind, RunError)
    return found(words) if isinstance(found, type) and issubclass(found, EdgewiseError) else RunError(words)
