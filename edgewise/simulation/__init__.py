"""The simulator: a whole fleet on one machine, with the real round machine, the real trainer and the real `.tflite`.

`simulate` is the door; `docs/simulator.md` tells what is real in it and what is not.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgewise.simulation.data import ArrayData, TaskData
    from edgewise.simulation.result import Result
    from edgewise.simulation.run import begun, simulate

__all__ = ["ArrayData", "Result", "TaskData", "begun", "simulate"]

_HOMES = {"ArrayData": "data", "TaskData": "data", "Result": "result", "simulate": "run", "begun": "run"}


def __getattr__(name: str) -> Any:
    """Import what is asked for: a worker process needs a third of it, and starts twice as fast."""
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
