"""What an author may hand to the exporter besides layers, and what the file then says, does and refuses."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

from edgewise_edge.trainer import Trainer
from edgewise_models.keras_export import build_trainable, export_trainable, plan_of
from edgewise_models.keras_reference import rehearsal_of
from edgewise_models.matrix import BATCH
from edgewise_models.plan import Settings
from edgewise_models.rehearsal import Rehearsal, rehearse
from edgewise_models.tensorflow import tf
from edgewise_models.verification import verify
from edgewise_wire.artifact import Artifact, seal
from edgewise_wire.errors import ConfigError, ModelError
from exporting import CROSS_ENTROPY, export, prove_on_the_other_runtime


class Perceptron(tf.Module):
    def __init__(self):
        super().__init__()
        rng = np.random.default_rng(0)
        self.hidden = tf.Variable(rng.normal(size=(5, 4)).astype(np.float32))
        self.head = tf.Variable(rng.normal(size=(4, 3)).astype(np.float32))
        self.scale = tf.Variable(0.5, trainable=False)
        self.calls = tf.Variable(0.0, trainable=False)

    def __call__(self, x, training=False):
        if training:
            self.calls.assign_add(1.0)
        return self.scale * (tf.nn.relu(x @ self.hidden) @ self.head)


def test_a_module_trains_and_its_assigned_variables_travel_as_state(proved):
    made = export(proved, "module", Perceptron(), CROSS_ENTROPY, inputs={"x": tf.TensorSpec((5,), tf.float32)})
    roles = {spec.name: spec.role for spec in made.artifact.manifest.weights}
    assert roles == {"hidden": "trainable", "head": "trainable", "calls": "state"}
    assert made.rehearsal.after["calls"] == made.proofs[0].steps


def test_frozen_layers_stay_out_of_the_update_however_large(proved):
    model = keras.Sequential(
        [keras.Input((40,)), layers.Dense(500, "relu", trainable=False), layers.Dense(3, name="head")]
    )
    made = export(proved, "frozen", model, CROSS_ENTROPY)
    manifest = made.artifact.manifest
    assert [spec.name for spec in manifest.weights] == ["head/kernel", "head/bias"]
    assert 4 * 40 * 500 in [made.artifact.file.buffers[number].size for number in manifest.frozen]
    assert any("80,000 weights that do not train" in line for line in verify(made.artifact.data))
    unnamed = seal(made.artifact.data.replace(b'"frozen":', b'"frozem":'))  # a key that nobody knows
    with pytest.raises(ModelError, match=r"80000 bytes\) would travel"):
        list(verify(unnamed))


def _dense():
    return keras.Sequential([keras.Input((5,), name="x"), layers.Dense(4, "relu", name="hidden"), layers.Dense(3)])


def test_slots_and_offsets_take_no_bytes_of_the_file_to_speak_of(proved):
    model = keras.Sequential([keras.Input((300,), name="x"), layers.Dense(500, "relu"), layers.Dense(3)])
    made = export(proved, "adam", model, CROSS_ENTROPY, optimizer="adam", corrected=True)
    weights = sum(array.nbytes for array in made.artifact.weights().values())
    constants = sum(span.size for span in made.artifact.file.buffers)
    assert len(made.artifact.data) < 1.05 * weights + 64_000
    assert constants < 1.05 * weights


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_the_corrected_step_adds_mu_w_and_the_offset_to_the_gradient(tmp_path, optimizer):
    model = _dense()
    plan = plan_of(model, CROSS_ENTROPY, optimizer, (), Settings(4))
    data, _ = build_trainable(plan)
    rehearsal = rehearsal_of(plan, optimizer)
    trainer = Trainer(data)
    batch = rehearsal.batches[0]
    inputs = {**batch, "learning_rate": np.float32(0.1)}
    start = trainer.get_weights()
    rng = np.random.default_rng(0)
    offset = {name: rng.normal(size=array.shape).astype(np.float32) for name, array in start.items()}

    def after(signature, **further):
        trainer.set_weights(start)
        trainer.reset_optimizer()
        found = trainer._session.call(signature, {**inputs, **further})
        assert found["loss"] == pytest.approx(rehearsal.losses[0], rel=1e-5)
        return trainer.get_weights()

    plain, uncorrected = after("train"), after("train_corrected", mu=np.float32(0))
    for name in start:
        np.testing.assert_allclose(plain[name], uncorrected[name], atol=1e-7)
    trainer._session.call("set_offset", offset)
    corrected = after("train_corrected", mu=np.float32(0.3))
    if optimizer == "sgd":
        for name in start:
            expected = plain[name] - 0.1 * (0.3 * start[name] + offset[name])
            np.testing.assert_allclose(corrected[name], expected, atol=1e-6)
    else:  # the first step of Adam is the sign of the gradient, times the learning rate
        moved = corrected["hidden/kernel"] - start["hidden/kernel"]
        gradient = plain["hidden/kernel"] * 0 + 0.3 * start["hidden/kernel"] + offset["hidden/kernel"]
        clear = np.abs(gradient) > 1.0
        np.testing.assert_allclose(moved[clear], -0.1 * np.sign(gradient[clear]), rtol=1e-3)


def test_examples_of_weight_zero_are_padding(proved):
    plan = plan_of(_dense(), CROSS_ENTROPY, "sgd", ("accuracy",), Settings(BATCH, corrected=False))
    data, _ = build_trainable(plan)
    batch = {
        "x": np.random.default_rng(0).normal(size=(BATCH, 5)).astype(np.float32),
        "labels": np.zeros(BATCH, np.int32),
        "weight": np.array([1, 0, 0.5], np.float32),
    }
    other = {**batch, "x": batch["x"] + np.array([[0], [9], [0]], np.float32)}
    results = []
    for given in (batch, other):
        trainer = Trainer(data)
        results.append((trainer.train_step(given, 0.1), trainer.get_weights(), trainer.evaluate_step(given)))
    assert results[0][0] == results[1][0]
    assert results[0][0].weight_sum == 1.5
    assert results[0][2] == results[1][2]
    for name, array in results[0][1].items():
        np.testing.assert_array_equal(array, results[1][1][name])
    empty = Trainer(data)
    before = empty.get_weights()
    assert empty.train_step({**batch, "weight": np.zeros(BATCH, np.float32)}, 0.1) == (0.0, 0.0)
    for name, array in empty.get_weights().items():
        np.testing.assert_array_equal(array, before[name])


def test_infer_takes_what_the_preprocessing_takes_and_returns_what_the_postprocessing_does(proved):
    made = export(
        proved,
        "processed",
        _dense(),
        CROSS_ENTROPY,
        preprocess=lambda pixels: tf.cast(pixels, tf.float32) / 255.0,
        preprocess_inputs={"pixels": tf.TensorSpec((5,), tf.uint8)},
        postprocess=lambda logits: {"label": tf.argmax(logits, 1, tf.int32), "probability": tf.nn.softmax(logits)},
    )
    found = Trainer(made.artifact.data).infer(pixels=np.arange(5, dtype=np.uint8)[None] * 50)
    assert found["probability"].sum() == pytest.approx(1.0, rel=1e-5)
    assert found["label"].shape == (1,)


def test_the_weights_are_in_the_file_and_the_authors_model_is_left_as_it_was(proved):
    model = _dense()
    before = [array.copy() for array in model.get_weights()]
    made = export(proved, "weights", model, CROSS_ENTROPY)
    for mine, theirs, stored in zip(before, model.get_weights(), made.artifact.weights().values(), strict=True):
        np.testing.assert_array_equal(mine, theirs)
        np.testing.assert_array_equal(mine, stored)


def test_regularization_is_part_of_the_loss_that_trains(proved):
    regular = keras.regularizers.L2(0.1)
    model = keras.Sequential([keras.Input((5,)), layers.Dense(3, kernel_regularizer=regular, name="head")])
    plain = rehearsal_of(plan_of(model, CROSS_ENTROPY, "sgd", (), Settings(BATCH)), "sgd").losses[0]
    made = export(proved, "regular", model, CROSS_ENTROPY)
    assert made.rehearsal.losses[0] == pytest.approx(plain)
    penalty = 0.1 * float((made.artifact.weights()["head/kernel"] ** 2).sum())
    assert plain > penalty > 0


def test_given_batches_are_proved_too(proved):
    batch = {
        "x": np.full((BATCH, 5), 2.0, np.float32),
        "labels": np.arange(3, dtype=np.int32),
        "weight": np.ones(BATCH, np.float32),
    }
    made = export(proved, "samples", _dense(), CROSS_ENTROPY, samples=[batch])
    assert any(np.array_equal(b["x"], batch["x"]) for b in made.rehearsal.batches)


def test_a_file_that_does_not_train_as_tensorflow_does_is_not_written(tmp_path, monkeypatch):
    from edgewise_models.lowering import registry

    wrong = dict(registry.BACKWARD)
    wrong["Relu"] = lambda call, d: d
    monkeypatch.setattr(registry, "BACKWARD", wrong)
    with pytest.raises(ModelError, match="the proof failed"):
        export_trainable(_dense(), CROSS_ENTROPY, batch=BATCH, path=tmp_path / "wrong.tflite")
    assert not (tmp_path / "wrong.tflite").exists()


def _with(layer):
    inputs = keras.Input((4, 4), name="x")
    value = layer(layers.Dense(4)(inputs))
    return keras.Model(inputs, layers.Lambda(lambda v: v[:, 0, :3])(value))


def test_flex_is_allowed_only_when_asked_for_and_is_named(tmp_path):
    odd = _with(layers.Lambda(lambda x: tf.linalg.inv(x + 3.0 * tf.eye(4)), name="odd"))
    made = export_trainable(odd, CROSS_ENTROPY, batch=BATCH, path=tmp_path / "flex.tflite", allow_flex=True)
    assert "MatrixInverse" in made.flex
    assert not made.proofs
    assert made.price.startswith("MatrixInverse: not proved")
    assert "99 MB" in made.price


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"loss": "nonsense"}, ConfigError, "loss 'nonsense'"),
        ({"optimizer": "nonsense"}, ConfigError, "optimizer 'nonsense'"),
        ({"metrics": ["nonsense"]}, ConfigError, "metric 'nonsense'"),
        ({"metrics": [keras.metrics.AUC()]}, ConfigError, "expected a mean over examples"),
        ({"metrics": ["accuracy", "accuracy"]}, ConfigError, "name is taken"),
        ({"optimizer": keras.optimizers.SGD(use_ema=True)}, ConfigError, "moving averages"),
        ({"loss": lambda labels, found: tf.reduce_mean(found)}, ModelError, "one value an example"),
        ({"weights_per": "position"}, ConfigError, "time axis"),
    ],
)
def test_a_setting_that_cannot_work_is_named(tmp_path, change, error, said):
    settings = {"loss": CROSS_ENTROPY, "batch": BATCH, "path": tmp_path / "x.tflite", **change}
    with pytest.raises(error, match=said):
        export_trainable(_dense(), **settings)


def test_a_weight_that_the_loss_does_not_reach_is_named(tmp_path):
    inputs = keras.Input((5,), name="x")
    unused = layers.Dense(3, name="unused")(inputs)
    value = layers.Add()([layers.Dense(3)(inputs), layers.Lambda(tf.stop_gradient)(unused)])
    model = keras.Model(inputs, value)
    with pytest.raises(ModelError, match="unused/kernel"):
        export_trainable(model, CROSS_ENTROPY, batch=BATCH, path=tmp_path / "x.tflite")


def test_a_rehearsal_survives_its_file():
    plan = plan_of(_dense(), CROSS_ENTROPY, "adam", ("accuracy",), Settings(BATCH))
    rehearsal = rehearsal_of(plan, "adam")
    again = Rehearsal.from_bytes(rehearsal.to_bytes())
    assert again.losses == rehearsal.losses
    assert again.sums == rehearsal.sums
    for group in ("before", "after", "sure", "infer_outputs"):
        for name, array in getattr(rehearsal, group).items():
            np.testing.assert_array_equal(getattr(again, group)[name], array)


def test_every_file_trains_as_tensorflow_does_on_the_other_runtime_too(proved):
    prove_on_the_other_runtime(proved)


def test_the_artifact_says_what_it_is():
    plan = plan_of(_dense(), CROSS_ENTROPY, "sgd", ("accuracy",), Settings(BATCH))
    manifest = Artifact.load(build_trainable(plan, name="dense", task="tabular")[0]).manifest
    assert (manifest.name, manifest.task, manifest.batch, manifest.steps) == ("dense", "tabular", BATCH, 0)
    assert [spec.name for spec in manifest.inputs] == ["x"]
    assert manifest.metrics == ("accuracy",)
    assert not manifest.seed
    assert manifest.flops > 0
    assert rehearse(build_trainable(plan)[0], rehearsal_of(plan, "sgd")).steps == 4
