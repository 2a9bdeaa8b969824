"""Small simulations for tests: the tiny next-word model, a handful of people, everything inline unless told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from edgewise.simulation import Result, simulate

SENTENCES = ["see you at me", "we are on to it", "i do not go up", "so it is", "can you see me"]
OPTIONS: dict[str, Any] = {"rounds": 3, "cohort": 3, "epochs": 2, "learning_rate": 0.5, "engine": "inline"}


def people(count: int = 5) -> dict[str, list[str]]:
    """Return texts by person; each has some more than the one before."""
    return {f"pi-{n}": [*(SENTENCES * 4)[n : n + 10 + n], f"see me {n}"] for n in range(count)}


def simulated(fixture_dir: Path, **options: Any) -> Result:
    """Return a simulation of `people`."""
    data = options.pop("data", people())
    return simulate(fixture_dir / "tiny.tflite", data, **{**OPTIONS, **options})


def bits(result: Result) -> bytes:
    """Return the trained weights to the last bit."""
    return b"".join(np.ascontiguousarray(array).tobytes() for array in result.weights.values())
