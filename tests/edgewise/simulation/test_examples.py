"""The worked examples run, and come to what their pages say they are about."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

EXAMPLES = Path(__file__).parents[3] / "examples"


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_hospitals_together_know_more_than_the_village_alone(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    hospitals = example("hospitals")
    sizes = [len(one["labels"]) for one in hospitals.records().values()]
    assert sum(sizes) == 569
    assert max(sizes) > 5 * min(sizes)
    found = hospitals.run(4, tmp_path, engine="inline")
    assert set(found) == {"logistic", "mlp"}
    for by in found.values():
        assert by["federated"] > 0.9
        assert by["federated"] >= by["village"]


def test_devices_with_few_digits_each_learn_them_all(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    digits = example("digits")
    found = digits.run(4, tmp_path, engine="inline")
    assert set(found) == {"fedavg", "fedprox:mu=0.1", "scaffold"}
    for result in found.values():
        assert result.complete
        assert result.final("loss") < result.measured[0]["loss"]
    data = digits.fleet(tmp_path / "cnn.tflite")
    labels = [np.bincount(data.rows(n, held_out=False)["labels"], minlength=10) for n in range(len(data.devices))]
    assert np.sum(labels) + data.counts(held_out=True).sum() == 1797
    assert np.mean([(own > 0).sum() for own in labels if own.sum()]) < 6


def test_banks_together_find_more_fraud_than_one_alone(tmp_path: Path) -> None:
    fraud = example("fraud")
    found = fraud.run(10, tmp_path, alone=1, every=5, engine="inline")
    assert found["federated"] > 2 * found["untrained"]
    assert found["federated"] > found["bank-00 alone"]
    assert fraud.payments(3)["labels"].mean() == pytest.approx(0.01, abs=0.005)
