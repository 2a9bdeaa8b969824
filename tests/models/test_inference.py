"""From trained weights to a file that only predicts, at three precisions."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

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
