"""The simulator: a whole fleet on one machine, with the real round machine, the real trainer and the real `.tflite`.

`simulate` is the door; `docs/simulator.md` tells what is real in it and what is not.
"""

from edgewise.simulation.data import ArrayData, TaskData
from edgewise.simulation.result import Result
from edgewise.simulation.run import simulate

__all__ = ["ArrayData", "Result", "TaskData", "simulate"]
