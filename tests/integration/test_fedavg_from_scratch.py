"""`examples/fedavg_from_scratch.py` against the real thing: sixty lines of NumPy, or TFLite files and a coordinator."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgewise_coordinator.server import Coordinator
from edgewise_coordinator.settings import RoundSettings, Settings, TrainingSettings
from edgewise_coordinator.summary import RoundSummary
from edgewise_edge.trainer import Trainer
from edgewise_wire.artifact import Artifact
from edgewise_wire.clock import ManualClock
from edgewise_wire.messages import Assignment
from edgewise_wire.transport.memory import MemoryBroker
from edgewise_wire.weights import flatten, unflatten
from scripted_device import ScriptedDevice, will

pytestmark = pytest.mark.integration
EXAMPLE = Path(__file__).parents[2] / "examples" / "fedavg_from_scratch.py"
ROUNDS, EPOCHS, LEARNING_RATE, TOLERANCE = 5, 2, 0.1, 1e-6


@pytest.fixture(scope="module")
def scratch() -> Any:
    names: dict[str, Any] = {"__name__": "scratch"}
    exec(compile(EXAMPLE.read_text("utf-8"), str(EXAMPLE), "exec"), names)
    return SimpleNamespace(**names)


@pytest.fixture(scope="module")
def model(scratch: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    keras = pytest.importorskip("keras")
    from edgewise_models import export_trainable

    layers = [
        keras.Input((scratch.FEATURES,), name="x"),
        keras.layers.Dense(scratch.CLASSES, kernel_initializer=keras.initializers.Constant(0.01)),
    ]
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    path = tmp_path_factory.mktemp("model") / "softmax.tflite"
    export_trainable(keras.Sequential(layers), loss, batch=scratch.BATCH, path=path)
    return path


def on_the_device(scratch: Any, model: Path, x: np.ndarray, y: np.ndarray) -> Any:
    """ClientUpdate again, but the gradient steps are those of the exported file in the TFLite runtime."""
    trainer = Trainer(model)
    specs = trainer.manifest.weights

    def train(weights: np.ndarray, assignment: Assignment) -> np.ndarray:
        trainer.set_weights(unflatten(weights, specs))
        for _ in range(assignment.epochs):
            for at in range(0, len(x), scratch.BATCH):
                part = slice(at, at + scratch.BATCH)
                weight = np.ones(scratch.BATCH, "f4")
                batch = {"x": x[part], "labels": y[part].astype("i4"), "weight": weight}
                trainer.train_step(batch, learning_rate=assignment.learning_rate)
        return flatten(trainer.get_weights(), specs) - weights

    return train


def test_the_coordinator_and_tflite_come_to_the_same_as_sixty_lines_of_numpy(
    scratch: Any, model: Path, tmp_path: Path
) -> None:
    rng = np.random.default_rng(1)
    data = [scratch.make_device(k, rng) for k in range(6)]
    artifact = Artifact.load(model)
    by_hand = [flatten(artifact.weights(), artifact.manifest.weights)]
    for _ in range(ROUNDS):
        by_hand.append(scratch.federated_round(by_hand[-1], data, EPOCHS, LEARNING_RATE))

    rounds: list[RoundSummary] = []
    clock, broker = ManualClock(1000.0, 5000.0), MemoryBroker()
    training = TrainingSettings(EPOCHS, LEARNING_RATE)
    settings = Settings("test", ROUNDS, RoundSettings(goal=6, over_selection=1.0), training, evaluate_every=0)
    coordinator = Coordinator(
        artifact, broker.connect("coordinator"), tmp_path, settings, clock=clock, on_round=rounds.append
    )
    devices = []
    for k, (x, y) in enumerate(data):
        link = broker.connect(f"d{k}", will=will("test", f"d{k}"))
        devices.append(ScriptedDevice(f"d{k}", link, on_the_device(scratch, model, x, y), examples=len(x)))
        devices[-1].join()
    for _ in range(20_000):
        coordinator.step(0.0)
        for device in devices:
            device.step()
        if coordinator.finished:
            break
        clock.advance(0.1)

    assert coordinator.complete, rounds
    for version, expected in enumerate(by_hand):
        made = np.frombuffer((tmp_path / "versions" / f"{version:06}.weights").read_bytes(), "<f4")
        np.testing.assert_allclose(made, expected, rtol=0, atol=TOLERANCE, err_msg=f"version {version}")
    assert np.abs(by_hand[-1]).max() > 0.3  # something was learned, so that the comparison says something
    coordinator.close()


def test_the_example_runs_and_together_beats_alone() -> None:
    out = subprocess.run([sys.executable, str(EXAMPLE)], check=True, capture_output=True, text=True).stdout
    lines = out.splitlines()
    best_alone = float(lines[0].split("to")[1])
    together = [float(line.split(":")[1]) for line in lines if line.startswith("together")]
    assert len(together) == 10
    assert min(together) > best_alone + 0.1


def test_it_is_sixty_lines() -> None:
    assert len(EXAMPLE.read_text("utf-8").splitlines()) <= 60
