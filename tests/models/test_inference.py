"""From trained weights to a file that only predicts, at three precisions."""

from __future__ import annotations

import sys
import types

import keras
import numpy as np
import pytest
from click.testing import CliRunner
from keras import layers

from edgewise.cli import cli
from edgewise_edge import runtime as runtimes
from edgewise_edge.trainer import Trainer
from edgewise_models.inference import SIGNATURE, export_inference
from edgewise_models.keras_export import build_trainable, plan_of
from edgewise_models.plan import Settings
from edgewise_wire.artifact import Artifact
from edgewise_wire.errors import ConfigError, InputError, ModelError

LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def _model():
    keras.utils.set_random_seed(5)
    inputs = keras.Input((8, 8, 2), name="image")
    value = layers.BatchNormalization()(layers.Conv2D(12, 3, activation="relu", name="conv")(inputs))
    return keras.Model(inputs, layers.Dense(40, name="head")(layers.Flatten()(value)))


def _fresh():
    keras.backend.clear_session()  # as in a process of its own, where names of layers are counted from the start
    return _model()


@pytest.fixture(scope="module")
def samples():
    rng = np.random.default_rng(0)
    return [{"image": rng.normal(size=(1, 8, 8, 2)).astype(np.float32)} for _ in range(20)]


@pytest.mark.parametrize(
    ("precision", "most", "size"), [("float32", 1e-5, 1.0), ("float16", 1e-2, 0.6), ("int8", 0.2, 0.4)]
)
def test_a_model_predicts_as_tensorflow_does_and_shrinks(tmp_path, samples, precision, most, size):
    made = export_inference(_model(), tmp_path / "x.tflite", precision=precision, samples=samples)
    assert made.difference < most
    assert (tmp_path / "x.tflite").read_bytes() == made.data
    assert len(made.data) < 4 * _model().count_params() * size + 12_000


def test_weights_trained_on_the_device_come_back(tmp_path, samples):
    model = _model()
    before = [array.copy() for array in model.get_weights()]
    data, _ = build_trainable(plan_of(model, LOSS, "sgd", (), Settings(2)))
    trainer = Trainer(data)
    rng = np.random.default_rng(1)
    for _ in range(3):
        image = rng.normal(size=(2, 8, 8, 2)).astype(np.float32)
        trainer.train_step(
            {"image": image, "labels": np.array([0, 1], np.int32), "weight": np.ones(2, np.float32)}, 0.1
        )
    trained = tmp_path / "trained.tflite"
    trained.write_bytes(Artifact.load(data).with_weights(trainer.get_weights()))

    made = export_inference(model, tmp_path / "plain.tflite", weights=trained)

    session = runtimes.Session(made.data, threads=1, runtime=runtimes.find())
    got = session.call(SIGNATURE, samples[0])["output"]
    np.testing.assert_allclose(got, trainer.infer(**samples[0])["output"], atol=1e-4)
    for array, kept in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(array, kept)


def test_what_is_missing_is_named(tmp_path, samples):
    with pytest.raises(ConfigError, match="takes its ranges from samples"):
        export_inference(_model(), tmp_path / "x.tflite", precision="int8")
    with pytest.raises(InputError, match="conv/kernel"):
        export_inference(_model(), tmp_path / "x.tflite", weights={"conv/bias": np.zeros(12, np.float32)})
    with pytest.raises(ModelError, match="another model's file"):
        export_inference(_model(), tmp_path / "x.tflite", weights={"other": np.zeros(1, np.float32)})


def _ran(*arguments):
    done = CliRunner().invoke(cli, ["export", "inference", *map(str, arguments)])
    return done.output if done.exit_code == 0 else str(done.exception)


@pytest.mark.parametrize("precision", ["float32", "float16", "int8"])
def test_gboards_model_comes_back_from_the_command_line_and_suggests_the_same_words(fixture_dir, tmp_path, precision):
    trained, out, messages = fixture_dir / "tiny.tflite", tmp_path / "plain.tflite", tmp_path / "messages.txt"
    messages.write_text("\n".join(["see you", "so it is", "we go up", "can you see me"] * 5), "utf-8")
    said = _ran(trained, "--out", out, "--precision", precision, "--samples", messages)
    assert f"{precision}. Proved with" in said
    trainer = Trainer(trained)
    tokens = np.zeros((1, trainer.manifest.steps), np.int32)
    tokens[0, :2] = 2, 5
    expected = trainer.infer(tokens)
    got = runtimes.Session(out.read_bytes(), threads=1, runtime=runtimes.find()).call(SIGNATURE, {"tokens": tokens})
    np.testing.assert_allclose(got["probabilities"], expected.probabilities, atol={"int8": 0.05}.get(precision, 1e-3))
    if precision == "float32":
        np.testing.assert_array_equal(got["ids"], expected.ids)


def test_an_authors_model_comes_back_with_the_factory_that_made_it(tmp_path, monkeypatch):
    other = keras.Sequential([keras.Input((3,)), layers.Dense(2)])
    monkeypatch.setitem(sys.modules, "authors", types.SimpleNamespace(build=_fresh, other=lambda: other))
    data, _ = build_trainable(plan_of(_fresh(), LOSS, "sgd", (), Settings(2, corrected=False)))
    (tmp_path / "trained.tflite").write_bytes(data)
    image = np.random.default_rng(0).normal(size=(30, 8, 8, 2)).astype(np.float32)
    np.savez(tmp_path / "images.npz", image=image)
    given = (tmp_path / "trained.tflite", "--out", tmp_path / "plain.tflite")
    said = _ran(*given, "--model", "authors:build", "--precision", "int8", "--samples", tmp_path / "images.npz")
    assert "int8. Proved with" in said
    assert (tmp_path / "plain.tflite").stat().st_size < len(data) / 2
    assert "pass --model module:factory" in _ran(*given)
    assert "another model's file" in _ran(*given, "--model", "authors:other")
    np.savez(tmp_path / "wrong.npz", picture=image)
    assert "expected an .npz file with the arrays image" in _ran(*given, "--samples", tmp_path / "wrong.npz")
