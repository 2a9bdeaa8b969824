"""The process that computes assignments, one after the other; `trainer_process.py` is the other side. It ends when its
standard input does, or with the agent. Not for people to start.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import sys
import time
from base64 import b64encode
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import Any, NoReturn

from edgewise_edge.computing import compute
from edgewise_edge.home import Home
from edgewise_edge.host import DeviceHost, trim
from edgewise_edge.jobs import Computed, Job
from edgewise_edge.lean_trainer import LeanTrainer
from edgewise_edge.learned import Learned
from edgewise_edge.local_training import TrainerLike
from edgewise_edge.progress import NOTHING_DONE, Step
from edgewise_edge.session import SessionFolder
from edgewise_edge.store import ExampleStore, Limits
from edgewise_wire.codec import encode
from edgewise_wire.errors import EdgewiseError, RunError
from edgewise_wire.messages import Envelope

SAY_SECONDS = 0.1  # a step of a tiny model takes less than telling of it
PARENT_DEATH_SIGNAL = 1  # prctl's PR_SET_PDEATHSIG


class OneJobHost(DeviceHost):
    """The device's examples, and a trainer that is let go of as soon as nothing needs it."""

    def __init__(self, home: Home, store: ExampleStore, threads: int) -> None:
        super().__init__(home, store, threads=threads)
        self._threads = threads
        self._scratch = home.session / "model"

    def trainer(self, graph: Path, graph_hash: bytes) -> TrainerLike:
        """Return a new trainer, kept by nobody else."""
        return LeanTrainer(graph, self._scratch, threads=self._threads)


def main() -> None:
    """Take jobs until nobody has any more: compute each, say how it goes and how it ended."""
    for line in sys.stdin:
        asked = json.loads(line)
        die_with(asked["parent"])
        _say({"step": list(NOTHING_DONE)})
        _say(_answer(asked))
        gc.collect()
        trim()  # waiting, hold what loading again would cost and no model


def _answer(asked: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        found = run(asked, lambda step: _say({"step": list(step)}))
    except (EdgewiseError, OSError, MemoryError) as error:
        kind = type(error).__name__ if isinstance(error, EdgewiseError) else "RunError"
        return {"error": kind, "words": str(error) or type(error).__name__}
    report = b64encode(encode(Envelope(asked["fleet"], 0, 0, found.report))).decode() if found.report else ""
    return {"report": report, "figures": dict(found.figures)}


def run(asked: Mapping[str, Any], say: Callable[[Step], None]) -> Computed:
    """Compute the work that stands in the session folder.

    Raises:
        EdgewiseError, OSError, MemoryError: if that cannot be done.
    """
    home = Home(asked["home"])
    stored = SessionFolder(home.session, asked["fleet"]).load()
    if stored is None:
        raise RunError("the assignment has gone from the disk")
    work = stored[0]
    with ExampleStore(home.examples, limits=Limits(None, None, None)) as store:  # the agent keeps to its owner's limits
        Learned(home).settle()  # the examples may have been encrypted while an earlier job was at work
        host = OneJobHost(home, store, asked["threads"])
        return _driven(compute(host, Job(home, work, asked["device"], asked["most"])), asked["parent"], say)


def _driven(running: Generator[Step, None, Computed], parent: int, say: Callable[[Step], None]) -> Computed:
    said = 0.0
    while True:
        try:
            step = next(running)
        except StopIteration as end:
            found: Computed = end.value
            return found
        if os.getppid() != parent:
            _end()
        if time.monotonic() - said >= SAY_SECONDS or step.done == step.total:
            said = time.monotonic()
            say(step)


def die_with(parent: int) -> None:
    """See to it that this process ends with the agent: at once on Linux, elsewhere after the batch in work."""
    import ctypes

    with contextlib.suppress(OSError, AttributeError):  # no prctl here
        ctypes.CDLL(None).prctl(PARENT_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != parent:  # it died before we asked
        _end()


def _end() -> NoReturn:
    os._exit(1)


def _say(words: Mapping[str, Any]) -> None:
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.write(json.dumps(words) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
