"""Computing in a process of its own: NumPy, the runtime and the model cost a device memory only while it trains, a
graph that kills the runtime does not kill the agent, and stopping takes no batch at all.

After a job the process stays for a while, since starting it takes half a second of a fast core: the evaluation that
follows a training round finds it there. Only one that has finished its job stays; whatever is stopped is killed.

Law: at most one such process is alive, and it dies with the agent; so one process alone ever works on a session. The
update is on disk before the end of a job is said.
"""

from __future__ import annotations

import math
from base64 import b64decode
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from edgewise_edge.host import trim
from edgewise_edge.jobs import Computed, Job
from edgewise_edge.progress import NOTHING_DONE, Step
from edgewise_edge.trainer_process import TrainerProcess
from edgewise_wire import errors
from edgewise_wire.clock import Clock, SystemClock
from edgewise_wire.codec import decode
from edgewise_wire.errors import EdgewiseError, ProtocolError, RunError
from edgewise_wire.messages import EvaluationReport, UploadRequest

WAIT_SECONDS = 0.1  # how long `advance` waits for news; so late is a message from the broker taken


class Apart:
    """Computes each job in a process of its own, which stays for the next one for a while.

    Args:
        threads: of each job.
        keep_seconds: how long a process that has finished waits for the next job; 0 ends it at once.
        clock: where the time comes from.
    """

    def __init__(self, threads: int = 1, keep_seconds: float = 0.0, clock: Clock | None = None) -> None:
        self._threads = threads
        self._keep_seconds = keep_seconds
        self._clock = clock or SystemClock()
        self._waiting: TrainerProcess | None = None
        self.due = math.inf

    def __call__(self, job: Job) -> Running:
        """Begin a job.

        Raises:
            UnavailableError: if no process can be started.
        """
        trim()  # what a download took is the child's to have
        process, self._waiting, self.due = self._waiting, None, math.inf
        if process is None:
            return Running(self._started(job), self._take_back)
        process.give(job)
        return Running(process, self._take_back, lambda: self._started(job))

    def tick(self) -> None:
        """End the process that waited long enough."""
        if self._clock.now() >= self.due:
            self.close()

    def close(self) -> None:
        """End the process that waits."""
        process, self._waiting, self.due = self._waiting, None, math.inf
        if process is not None:
            process.kill()

    def _started(self, job: Job) -> TrainerProcess:
        process = TrainerProcess(self._threads)
        process.give(job)
        return process

    def _take_back(self, process: TrainerProcess) -> None:
        if self._keep_seconds > 0:
            self._waiting, self.due = process, self._clock.now() + self._keep_seconds
        else:
            process.kill()


class Running:
    """A job on its way in a process.

    Args:
        process: has been given the job.
        give_back: called with the process once the job is finished.
        anew: gives the job to a new process, for one that had ended before it took the job up.
    """

    def __init__(
        self,
        process: TrainerProcess,
        give_back: Callable[[TrainerProcess], None],
        anew: Callable[[], TrainerProcess] | None = None,
    ) -> None:
        self._process: TrainerProcess | None = process
        self._give_back = give_back
        self._anew = anew
        self._step = NOTHING_DONE
        self.result: Computed | None = None

    def advance(self) -> Step:
        """Take what the process said; wait a moment for it.

        Raises:
            EdgewiseError: the process's own, in its words; `RunError` if it ended without a word.
        """
        process = self._process
        if process is not None:
            for said in self._heard(process):
                self._take(said)
            if self.result is not None:
                self._process = None
                self._give_back(process)
        return self._step

    def stop(self) -> None:
        """End the process, whatever it is doing; one that has finished is not ours any more."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()

    def _heard(self, process: TrainerProcess) -> Sequence[Mapping[str, Any]]:
        try:
            found = process.said(WAIT_SECONDS)
        except RunError:
            if self._anew is None:
                raise
            process.kill()
            self._process, self._anew = self._anew(), None
            return ()
        if found:
            self._anew = None
        return found

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


def _error(kind: str, words: str) -> EdgewiseError:
    found = getattr(errors, kind, RunError)
    return found(words) if isinstance(found, type) and issubclass(found, EdgewiseError) else RunError(words)
