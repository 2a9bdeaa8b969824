"""An author's own Keras model, from the exporter through rounds on devices that hold numbers, to a prediction."""

from __future__ import annotations

import json
from pathlib import Path

import keras
import numpy as np
import pytest

from edgewise.cli import main
from edgewise_coordinator.settings import RoundSettings, Settings, TrainingSettings
from edgewise_models.keras_export import export_trainable
from memory_fleet import MemoryFleet


def test_devices_learn_from_numbers(tmp_path: Path, capsys) -> None:
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((4,), name="features"), keras.layers.Dense(3)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    path = tmp_path / "own.tflite"
    export_trainable(model, loss, batch=8, path=path, metrics=["accuracy"], corrected=False)
    rng = np.random.default_rng(0)
    for number in range(2):
        features = rng.normal(size=(60, 4)).astype(np.float32)
        np.savez(tmp_path / f"{number}.npz", features=features, labels=features[:, :3].argmax(axis=1).astype(np.int32))
    texts = {f"pi-{number}": [] for number in range(2)}
    cohort = RoundSettings(goal=2, over_selection=1.0, min_reports=2)
    settings = Settings("test", 3, cohort, TrainingSettings(epochs=2, learning_rate=0.5), evaluate_every=3)
    it = MemoryFleet(tmp_path, path, settings, texts)
    for number, device in enumerate(texts):
        run(capsys, "device", "import", str(tmp_path / f"{number}.npz"), "--home", str(it.homes[device].path))
    it.run()
    metrics = [found.metrics for found in it.rounds if found.metrics]
    assert metrics[-1]["accuracy"] > 0.8 > metrics[0]["accuracy"] + 0.2, metrics
    home = str(it.homes["pi-0"].path)
    said = run(capsys, "device", "predict", '{"features": [0, 0, 5, 0]}', "--home", home)
    assert np.argmax(json.loads(said)["output"]) == 2
    assert "60 examples in all" in run(capsys, "device", "list", "--limit", "1", "--home", home)


def run(capsys, *arguments: str) -> str:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    said = capsys.readouterr()
    assert ended.value.code == 0, said.err
    return str(said.out)
