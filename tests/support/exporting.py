"""What the tests of the exporter share: one export with its proof on this runtime, and one process for the other."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from edgewise_models import rehearsal
from edgewise_models.keras_export import Trainable, export_trainable
from edgewise_models.matrix import BATCH
from edgewise_models.rehearsal import NEGLIGIBLE, Rehearsal

ROOT = Path(__file__).parents[2]
OTHER_PYTHON = ROOT / ".venv-tflite" / "bin" / "python"  # tflite-runtime wants NumPy 1: another environment
CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def export(folder: Path, name: str, model: Any, loss: Any, **settings: Any) -> Trainable:
    """Export into a folder, proved by this environment's runtime; keep the rehearsal beside it for the other one."""
    settings = {"batch": BATCH, "corrected": False, **settings}
    made = export_trainable(model, loss, path=folder / f"{name}.tflite", **settings)
    (folder / f"{name}.npz").write_bytes(made.rehearsal.to_bytes())
    return made


def prove_on_the_other_runtime(folder: Path) -> None:
    """Rehearse every file of a folder in one process of the environment that has tflite-runtime; skip without it."""
    files = sorted(folder.glob("*.tflite"))
    assert files
    if not OTHER_PYTHON.exists():
        pytest.skip(f"no environment with tflite-runtime at {OTHER_PYTHON.relative_to(ROOT)}")
    pairs = [str(path) for file in files for path in (file, file.with_suffix(".npz"))]
    done = subprocess.run([OTHER_PYTHON, "-m", rehearsal.__name__, *pairs], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == len(files)


def unnoticed(found: Rehearsal) -> list[str]:
    """Return the weights that move too little in every step for the proof to compare them by their own change."""
    noticed: set[str] = set()
    for before, after in zip(found.states, found.states[1:], strict=False):
        moves = {name: np.abs(after[name] - array) for name, array in before.items()}
        most = max(float(move.max()) for move in moves.values())
        noticed |= {n for n, move in moves.items() if np.sqrt(np.mean(np.square(move))) > NEGLIGIBLE * most}
    return sorted(set(found.before) - noticed)
