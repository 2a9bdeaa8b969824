"""The writer makes weights patchable, refuses what would not run or not travel, and never writes what is not proved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgewise_edge.trainer import Trainer
from edgewise_models.tensorflow import tf
from edgewise_models.writer import Facts, Weight, build_artifact, write_artifact
from edgewise_wire.artifact import Artifact
from edgewise_wire.errors import ModelError, UnavailableError

FACTS = Facts(task="regression", name="line", batch=4, steps=0, inputs=("x",))


class Line:
    """y = x·a + b with momentum, whose weights start as equal zeros and which uses an equal constant."""

    def __init__(self) -> None:
        zeros = np.zeros((3, 3), np.float32)
        self.a, self.b = tf.Variable(zeros, name="same"), tf.Variable(zeros, name="same")
        self.momentum = tf.Variable(zeros, name="same")
        self.weights = [Weight("dense/a", self.a), Weight("momentum", self.momentum, "slot"), Weight("dense/b", self.b)]

    def functions(self, activation: Any = tf.identity) -> dict[str, Any]:
        x = tf.TensorSpec((4, 3), tf.float32, name="x")
        y, w = tf.TensorSpec((4, 3), tf.float32, name="labels"), tf.TensorSpec((4,), tf.float32, name="weight")
        rate = tf.TensorSpec((), tf.float32, name="learning_rate")

        def predict(x: Any) -> Any:
            return activation(tf.matmul(x, self.a) + tf.reduce_sum(self.b) + tf.zeros((3, 3))[:1])

        def train(x: Any, labels: Any, weight: Any, learning_rate: Any) -> dict[str, Any]:
            with tf.GradientTape() as tape:
                error = tf.reduce_sum((predict(x) - labels) ** 2, 1)
                loss = tf.reduce_sum(error * weight) / tf.reduce_sum(weight)
            for variable, gradient in zip((self.a, self.b), tape.gradient(loss, (self.a, self.b)), strict=True):
                variable.assign(variable - learning_rate * gradient)
            self.momentum.assign(self.momentum + 1.0)
            return {"loss": loss, "weight_sum": tf.reduce_sum(weight)}

        def evaluate(x: Any, labels: Any, weight: Any) -> dict[str, Any]:
            loss = tf.reduce_sum(tf.reduce_sum((predict(x) - labels) ** 2, 1) * weight)
            return {"loss_sum": loss, "weight_sum": tf.reduce_sum(weight)}

        return {
            "train": tf.function(train).get_concrete_function(x, y, w, rate),
            "evaluate": tf.function(evaluate).get_concrete_function(x, y, w),
            "infer": tf.function(lambda x: {"y": predict(x)}).get_concrete_function(x),
        }


BATCH = {"x": np.eye(4, 3, dtype="f4"), "labels": np.ones((4, 3), "f4"), "weight": np.ones(4, "f4")}


@pytest.fixture(scope="module")
def data() -> bytes:
    line = Line()
    return build_artifact(line.functions(), line.weights, FACTS)


def test_equal_constants_are_un_shared_so_that_each_weight_can_be_patched_alone(data: bytes) -> None:
    artifact = Artifact.load(data)
    assert list(artifact.weights()) == ["dense/a", "dense/b"]
    patched = artifact.with_weights({"dense/a": np.eye(3, dtype="f4"), "dense/b": np.zeros((3, 3), "f4")})
    trainer = Trainer(patched)
    np.testing.assert_array_equal(trainer.get_weights()["dense/a"], np.eye(3))
    np.testing.assert_array_equal(trainer.get_weights()["dense/b"], np.zeros((3, 3)))
    np.testing.assert_array_equal(trainer.infer(BATCH["x"])["y"], BATCH["x"])  # the graph's own zeros stayed zeros


def test_slots_stay_out_of_what_travels_and_are_reset(data: bytes) -> None:
    trainer = Trainer(data)
    assert [spec.name for spec in trainer.manifest.averaged] == ["dense/a", "dense/b"]
    session = trainer._session
    read = {"dummy": np.zeros((), np.float32)}
    trainer.train_step(BATCH, 0.1)
    assert session.call("get_slots", read)["momentum"].tolist() == [[1.0] * 3] * 3
    trainer.reset_optimizer()
    assert session.call("get_slots", read)["momentum"].tolist() == [[0.0] * 3] * 3


def test_it_trains_through_the_trainer(data: bytes) -> None:
    trainer = Trainer(data)
    losses = [trainer.train_step(BATCH, 0.02).loss for _ in range(20)]
    assert losses[0] == pytest.approx(3.0)
    assert losses[-1] < 0.5
    sums = trainer.evaluate_step(BATCH)
    assert set(sums) == {"loss_sum", "weight_sum"}


def test_a_model_without_a_correction_says_so(data: bytes) -> None:
    trainer = Trainer(data)
    with pytest.raises(ModelError, match="'line' was exported without 'train_corrected'"):
        trainer.train_corrected_step(BATCH, 0.1)
    with pytest.raises(ModelError, match="'line' was exported without 'set_offset'"):
        trainer.set_offset(trainer.get_weights())


def test_an_operator_that_only_flex_has_is_named() -> None:
    line = Line()
    with pytest.raises(ModelError, match="operators that no plain runtime has: ReluGrad;"):
        build_artifact(line.functions(tf.nn.relu), line.weights, FACTS)


def test_a_variable_that_nobody_declared_is_named() -> None:
    line = Line()
    with pytest.raises(ModelError, match=r"uses the variable 'same:0', which is no weight"):
        build_artifact(line.functions(), line.weights[1:], FACTS)


def test_two_weights_of_one_name_are_refused() -> None:
    line = Line()
    twice = [*line.weights, Weight("momentum", tf.Variable(1.0), "slot")]
    with pytest.raises(ModelError, match="same name: 'momentum'"):
        build_artifact(line.functions(), twice, FACTS)


def test_a_large_constant_that_is_no_weight_is_named() -> None:
    line = Line()
    rng = np.random.default_rng(0)
    table = tf.constant(rng.normal(size=(200, 100)).astype("f4"))

    def looked_up(y: Any) -> Any:
        return y + tf.reduce_sum(tf.gather(table, tf.cast(tf.reshape(y, [-1]), tf.int32)))

    with pytest.raises(ModelError, match=r"float32\[200, 100\], 80000 bytes\) would travel"):
        build_artifact(line.functions(looked_up), line.weights, FACTS)


def test_what_is_not_proved_is_not_written(tmp_path: Path) -> None:
    line, path = Line(), tmp_path / "line.tflite"
    path.write_text("the old one")

    def fail(data: bytes) -> None:
        assert Artifact.load(data).manifest.name == "line"
        raise ModelError("the proof failed: on purpose")

    with pytest.raises(ModelError, match="on purpose"):
        write_artifact(path, line.functions(), line.weights, FACTS, prove=fail)
    assert path.read_text() == "the old one"
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_proved_is_written_whole(tmp_path: Path, data: bytes) -> None:
    line, path = Line(), tmp_path / "line.tflite"
    seen: list[bytes] = []
    written = write_artifact(path, line.functions(), line.weights, FACTS, prove=seen.append)
    assert path.read_bytes() == seen[0] == written.data == data
    assert list(tmp_path.iterdir()) == [path]


def test_a_place_that_cannot_be_written_is_refused_before_any_work(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "absent" / "m.tflite"):
        with pytest.raises(UnavailableError, match="cannot be written"):
            write_artifact(path, {}, [], FACTS, prove=lambda data: None)
