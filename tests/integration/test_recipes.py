"""Other ways to learn than FedAvg, with real processes over a real broker."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgewise.brokers.choose import make_broker
from edgewise_coordinator.state import StateStore
from edgewise_edge.trainer import Trainer
from edgewise_wire.weights import flatten
from process_fleet import process_fleet

pytestmark = pytest.mark.integration

SENTENCES = ["see you at me", "we are on to it", "i do not go up", "so it is", "can you see me"]


def models(*arguments: str | Path) -> str:
    command = [sys.executable, "-m", "edgewise", "models", *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_scaffold_keeps_its_variates_on_the_devices_and_c_is_their_mean(tmp_path: Path, fixture_dir: Path) -> None:
    with process_fleet(tmp_path, fixture_dir / "tiny.tflite", make_broker("embedded", tmp_path / "broker")) as fleet:
        for n in range(3):
            fleet.start_device(f"pi-{n}", SENTENCES * (2 + n))
        fleet.start_coordinator(
            "--rounds", "3", "--cohort", "2", "--over-selection", "1.0", "--evaluate-every", "0",
            "--algorithm", "scaffold", "--fleet-size", "3", "--selection", "fair",
        )  # fmt: skip
        assert fleet.finish()["version"] == 3
    run = tmp_path / "run"
    store = StateStore(run / "state.sqlite")
    counted = store.counted_rounds()
    store.close()
    assert set(counted) == {"pi-0", "pi-1", "pi-2"}
    own = []
    for device, round_id in counted.items():
        (found,) = (tmp_path / device / "controls").glob(f"*/{round_id}")
        own.append(np.frombuffer(found.read_bytes(), "<f4"))
    with np.load(run / "versions/000003.state.npz") as state:
        assert np.abs(state["control"]).max() > 1e-3
        np.testing.assert_allclose(state["control"], np.mean(own, 0), atol=1e-6)


def test_buffered_rounds_and_the_versions_that_they_leave(tmp_path: Path, fixture_dir: Path) -> None:
    with process_fleet(tmp_path, fixture_dir / "tiny.tflite", make_broker("embedded", tmp_path / "broker")) as fleet:
        for n in range(3):
            fleet.start_device(f"pi-{n}", SENTENCES * (2 + n))
        fleet.start_coordinator("--rounds", "4", "--buffer", "2", "--concurrency", "3", "--evaluate-every", "2")
        assert fleet.finish()["version"] == 4
        assert all(row["reported"] >= 2 for row in fleet.rows() if row["round"])
    run = tmp_path / "run"
    rows = json.loads(models("list", "--dir", run, "--json"))["versions"]
    assert [row["parent"] for row in rows] == [None, 0, 1, 2, 3]
    assert [bool(row["metrics"]) for row in rows] == [True, False, True, False, True]
    models("rollback", "2", "--dir", run)
    models("export", "5", "--out", tmp_path / "back.tflite", "--dir", run)
    trainer = Trainer(tmp_path / "back.tflite")
    weights = flatten(trainer.get_weights(), trainer.manifest.weights)
    assert weights.tobytes() == (run / "versions/000002.weights").read_bytes()
