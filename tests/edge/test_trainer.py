"""The trainer takes TensorFlow's own steps on each runtime, checks what it is given, and hands out copies."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgewise_edge import runtime as runtimes
from edgewise_edge.trainer import Batch, Trainer
from edgewise_wire.artifact import Artifact
from edgewise_wire.errors import ConfigError, InputError, ModelError


@pytest.fixture(params=runtimes.installed())
def runtime(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def model(fixture_dir: Path) -> Path:
    return fixture_dir / "tiny.tflite"


@pytest.fixture
def trainer(model: Path, runtime: str) -> Trainer:
    return Trainer(model, runtime=runtime)


@pytest.fixture(scope="module")
def golden(fixture_dir: Path) -> dict[str, Any]:
    with np.load(fixture_dir / "tiny.npz") as arrays:
        return dict(arrays)


def batches(golden: dict[str, Any]) -> list[Batch]:
    return [{k: golden[k][i] for k in ("tokens", "labels", "weight")} for i in range(len(golden["losses"]))]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("as_bytes", [False, True])
def test_five_steps_give_tensorflows_losses_and_weights(
    model: Path, runtime: str, golden: dict[str, Any], threads: int, as_bytes: bool
) -> None:
    trainer = Trainer(model.read_bytes() if as_bytes else model, threads=threads, runtime=runtime)
    rate = float(golden["learning_rate"])
    steps = [trainer.train_step(batch, rate) for batch in batches(golden)]
    np.testing.assert_allclose([step.loss for step in steps], golden["losses"], atol=1e-5)
    np.testing.assert_allclose([step.weight_sum for step in steps], golden["weight"].sum((1, 2)), rtol=1e-6)
    for name, array in trainer.get_weights().items():
        np.testing.assert_allclose(array, golden[f"after/{name}"], atol=1e-5)


def test_weights_go_in_and_come_out_and_are_copies(trainer: Trainer, golden: dict[str, Any]) -> None:
    first = trainer.get_weights()
    kept = {name: array.copy() for name, array in first.items()}
    trainer.train_step(batches(golden)[0], 0.5)
    other = {name: array + 1 for name, array in kept.items()}
    trainer.set_weights(other)
    for name, array in trainer.get_weights().items():
        np.testing.assert_array_equal(array, other[name])
        np.testing.assert_array_equal(first[name], kept[name])
        assert array.flags.owndata or array.base is not None
        array[...] = 0  # ours to change
    np.testing.assert_array_equal(trainer.get_weights()["projection"], other["projection"])


def test_it_starts_with_the_weights_in_the_file(trainer: Trainer, model: Path) -> None:
    artifact = Artifact.load(model)
    for name, array in artifact.weights().items():
        np.testing.assert_array_equal(trainer.get_weights()[name], array)
    assert trainer.graph_hash == artifact.graph_hash


def test_a_file_with_patched_weights_starts_with_those(model: Path, runtime: str, golden: dict[str, Any]) -> None:
    after = {name.removeprefix("after/"): a.astype("f4") for name, a in golden.items() if name.startswith("after/")}
    trained = Trainer(Artifact.load(model).with_weights(after), runtime=runtime)
    for name, array in trained.get_weights().items():
        np.testing.assert_array_equal(array, after[name])
    trainer = Trainer(model, runtime=runtime)
    trainer.set_weights(after)
    for batch in batches(golden):
        assert trained.evaluate_step(batch) == trainer.evaluate_step(batch)


def test_evaluation_is_a_sum_and_padding_counts_nothing(trainer: Trainer, golden: dict[str, Any]) -> None:
    batch = {name: array.copy() for name, array in batches(golden)[1].items()}
    whole = trainer.evaluate_step(batch)
    parts = []
    for rows in (slice(0, 2), slice(2, 4)):
        weight = np.zeros_like(batch["weight"])
        weight[rows] = batch["weight"][rows]
        parts.append(trainer.evaluate_step({**batch, "weight": weight}))
    assert set(whole) == {"loss_sum", "weight_sum", "top1", "top3"}
    for name, value in whole.items():
        assert value == pytest.approx(sum(part[name] for part in parts), rel=1e-5)
    assert whole["top1"] <= whole["top3"] <= whole["weight_sum"]
    nothing = trainer.evaluate_step({**batch, "weight": np.zeros_like(batch["weight"])})
    assert set(nothing.values()) == {0.0}


def test_a_batch_of_padding_changes_nothing(trainer: Trainer, golden: dict[str, Any]) -> None:
    before = trainer.get_weights()
    step = trainer.train_step({**batches(golden)[0], "weight": np.zeros((4, 5), np.float32)}, 1.0)
    assert step == (0.0, 0.0)
    for name, array in trainer.get_weights().items():
        np.testing.assert_array_equal(array, before[name])


def test_weights_that_are_no_numbers_never_count_as_hits(trainer: Trainer, golden: dict[str, Any]) -> None:
    trainer.set_weights({name: np.full_like(array, np.nan) for name, array in trainer.get_weights().items()})
    sums = trainer.evaluate_step(batches(golden)[0])
    assert np.isnan(sums["loss_sum"])
    assert sums["top1"] == sums["top3"] == 0.0


def test_marks_are_never_ranked_or_suggested(trainer: Trainer, golden: dict[str, Any]) -> None:
    weights = trainer.get_weights()
    weights["output_bias"] = np.where(np.arange(30) < 4, 50.0, np.linspace(0, 20, 30)).astype("f4")
    trainer.set_weights(weights)
    found = trainer.infer(np.array([[2, 7, 9, 0, 0]], np.int32))
    assert found.ids.tolist() == [29, 28, 27, 26, 25]
    assert (np.diff(found.probabilities) < 0).all()
    batch = batches(golden)[0]
    ones = np.ones((4, 5), np.float32)
    assert trainer.evaluate_step({**batch, "labels": np.full((4, 5), 29, "i4"), "weight": ones})["top1"] == 20.0
    assert trainer.evaluate_step({**batch, "labels": np.full((4, 5), 27, "i4"), "weight": ones})["top3"] == 20.0
    assert trainer.evaluate_step({**batch, "labels": np.full((4, 5), 26, "i4"), "weight": ones})["top3"] == 0.0
    assert trainer.evaluate_step({**batch, "labels": np.full((4, 5), 1, "i4"), "weight": ones})["top3"] == 0.0


def test_what_follows_the_last_token_does_not_change_a_suggestion(trainer: Trainer) -> None:
    short = trainer.infer(tokens=np.array([[2, 7, 0, 0, 0]], np.int32))
    longer = trainer.infer(np.array([[2, 7, 9, 0, 0]], np.int32))
    assert short.ids.tolist() == trainer.infer(np.array([[2, 7, 0, 0, 0]], np.int32)).ids.tolist()
    assert short.probabilities.tolist() != longer.probabilities.tolist()


def test_a_corrected_step_without_offset_is_a_plain_one(model: Path, runtime: str, golden: dict[str, Any]) -> None:
    plain, corrected = Trainer(model, runtime=runtime), Trainer(model, runtime=runtime)
    batch = batches(golden)[1]
    assert plain.train_step(batch, 0.5).loss == pytest.approx(corrected.train_corrected_step(batch, 0.5).loss, rel=1e-6)
    for name, array in plain.get_weights().items():
        np.testing.assert_allclose(corrected.get_weights()[name], array, atol=1e-6)


def test_the_correction_is_mu_times_the_weights_plus_the_offset(trainer: Trainer, golden: dict[str, Any]) -> None:
    padding = {**batches(golden)[0], "weight": np.zeros((4, 5), np.float32)}
    before = trainer.get_weights()
    offsets = {name: np.full_like(array, 0.25) for name, array in before.items()}
    trainer.set_offset(offsets)
    trainer.train_corrected_step(padding, 0.5, mu=0.1)
    for name, array in trainer.get_weights().items():
        np.testing.assert_allclose(array, before[name] - 0.5 * (0.1 * before[name] + 0.25), atol=1e-6)
    mu = 0.3  # FedProx at the round's own weights pulls nowhere
    now = trainer.get_weights()
    trainer.set_offset({name: -mu * array for name, array in now.items()})
    trainer.train_corrected_step(padding, 0.5, mu=mu)
    for name, array in trainer.get_weights().items():
        np.testing.assert_allclose(array, now[name], atol=1e-6)


def test_a_wrong_offset_is_refused(trainer: Trainer) -> None:
    with pytest.raises(InputError, match=r"'embedding': expected float32\[30, 6\], but it is missing"):
        trainer.set_offset({})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"tokens": np.zeros((4, 6), "i4")}, r"input 'tokens' of 'train': expected int32\[4, 5\], got int32\[4, 6\]"),
        ({"labels": np.zeros((4, 5), "i8")}, r"input 'labels' of 'train': expected int32\[4, 5\], got int64\[4, 5\]"),
        ({"weight": None}, r"input 'weight' of 'train': expected float32\[4, 5\], but it is missing"),
        ({"extra": np.zeros(1)}, "input 'extra' of 'train': not known, expected tokens, labels, weight"),
    ],
)
def test_a_wrong_batch_is_refused_by_name(
    trainer: Trainer, golden: dict[str, Any], change: dict[str, Any], words: str
) -> None:
    batch = {name: array for name, array in (batches(golden)[0] | change).items() if array is not None}
    with pytest.raises(InputError, match=words):
        trainer.train_step(batch, 0.5)


def test_wrong_weights_are_refused_and_none_changes(trainer: Trainer) -> None:
    before = trainer.get_weights()
    wrong = {name: array + 1 for name, array in before.items()} | {"projection": np.zeros((1, 1), "f4")}
    with pytest.raises(InputError, match=r"'projection': expected float32\[10, 6\]"):
        trainer.set_weights(wrong)
    for name, array in trainer.get_weights().items():
        np.testing.assert_array_equal(array, before[name])


def test_what_is_no_model_is_refused_before_the_runtime_sees_it(tmp_path: Path, model: Path) -> None:
    (tmp_path / "notes.tflite").write_text("no model")
    with pytest.raises(ModelError, match=r"notes\.tflite: not a TFLite file"):
        Trainer(tmp_path / "notes.tflite")
    with pytest.raises(ConfigError, match="threads: expected 1 or more, got 0"):
        Trainer(model, threads=0)


def test_importing_the_trainer_loads_neither_tensorflow_nor_a_runtime() -> None:
    code = (
        "import sys, edgewise_edge.trainer;"
        "sys.exit(bool({'tensorflow', 'ai_edge_litert', 'tflite_runtime', 'keras'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=dict(os.environ))


TORTURE = """
import sys, numpy as np
from edgewise_edge.trainer import Trainer
from edgewise_wire.errors import EdgewiseError
data = open(sys.argv[1], 'rb').read()
rng = np.random.default_rng(int(sys.argv[2]))
refused = 0
for _ in range(60):
    torn = bytearray(data)
    for at in rng.integers(0, len(data), 12):
        torn[at] = rng.integers(256)
    print('.', end='', flush=True)
    try:
        Trainer(bytes(torn))
    except EdgewiseError:
        refused += 1
print(refused)
"""


def test_corrupt_files_never_crash_the_process(model: Path) -> None:
    done = subprocess.run([sys.executable, "-c", TORTURE, str(model), "5"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout.strip(".\n")) > 50  # the others have other numbers in a weight
