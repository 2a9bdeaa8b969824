"""The agent with a real model file, the real trainer and the real store: train, evaluate, predict."""

from __future__ import annotations

import numpy as np
import pytest

from edgewise_edge import predict
from edgewise_edge.agent import Agent
from edgewise_edge.host import DeviceHost, next_word_examples
from edgewise_edge.link import Identity
from edgewise_edge.local_training import device_generator, run_to_end, train_locally
from edgewise_edge.model import LatestModel
from edgewise_edge.trainer import Trainer
from edgewise_wire.artifact import Artifact
from edgewise_wire.errors import ConfigError, ModelError, UnavailableError
from edgewise_wire.messages import EvaluationReport, Kind, ReportAck, UploadRequest
from edgewise_wire.weights import flatten


@pytest.fixture
def real(world, fixture_dir):
    """The world with the tiny model on the broker, without its weights, as a coordinator publishes it."""
    artifact = Artifact.load(fixture_dir / "tiny.tflite")
    world.artifact = artifact
    world.graph_bytes = artifact.with_weights({name: np.zeros_like(w) for name, w in artifact.weights().items()})
    world.weights = flatten(artifact.weights(), artifact.manifest.weights)
    words = artifact.manifest.vocabulary
    world.store.forget(everything=True)
    world.store.add_many(f"{words[n]} {words[n + 1]} {words[n + 2]}" for n in range(15))
    identity = Identity("home", "pi-7", 1)
    link = world.broker.connect("pi-7", will=identity.will)
    world.agent = Agent(world.home, link, identity, DeviceHost(world.home, world.store), clock=world.clock)
    return world


def until(world, kind):
    for _ in range(900):
        world.agent.step()
        found = world.bodies(kind)
        if found:
            return found[-1]
    raise AssertionError(f"the device never said {kind.__name__}")


def test_a_round_with_the_real_trainer_gives_its_own_update(real, tmp_path, fixture_dir):
    real.say(real.assignment(learning_rate=0.5))
    update = real.receive(until(real, UploadRequest), tmp_path)
    trainer = Trainer(fixture_dir / "tiny.tflite")
    examples = next_word_examples(trainer.manifest, real.store.texts(held_out=False), False)
    rng = device_generator(5, 1, "pi-7")
    expected = run_to_end(
        train_locally(trainer, real.weights, examples, epochs=2, learning_rate=0.5, max_examples=0, rng=rng)
    )
    np.testing.assert_array_equal(update, expected.update)
    real.say(ReportAck(1, True))
    real.run(steps=3)
    latest = LatestModel(real.home).load()
    assert latest is not None
    assert latest.graph == real.artifact.graph_hash


def test_an_evaluation_with_the_real_trainer_names_the_manifests_metrics(real):
    real.say(real.assignment(kind=Kind.EVALUATE))
    report = until(real, EvaluationReport)
    sums = {measure.name: measure.value for measure in report.measures}
    assert set(sums) == {"loss_sum", "weight_sum", *real.artifact.manifest.metrics}
    assert (report.examples, sums["weight_sum"]) == (3, 9.0)
    assert 0 <= sums["top1"] <= sums["top3"] <= 9.0


def test_predict_uses_the_rounds_weights_and_never_suggests_a_mark(real, fixture_dir):
    with pytest.raises(UnavailableError, match="no model yet"):
        predict.open_predictor(real.home)
    real.weights = real.weights * np.float32(3.0)
    real.say(real.assignment(kind=Kind.EVALUATE))
    until(real, EvaluationReport)
    words = real.artifact.manifest.vocabulary
    found = predict.open_predictor(real.home).suggest(f"{words[0]} {words[1]}", 5)
    assert len(found) == 5
    assert {one.word for one in found} <= set(words)
    assert [one.probability for one in found] == sorted((one.probability for one in found), reverse=True)
    plain = predict.open_predictor(real.home, model=fixture_dir / "tiny.tflite").suggest(f"{words[0]} {words[1]}", 5)
    assert [one.probability for one in plain] != [one.probability for one in found]


def test_of_a_long_text_the_last_words_count_and_nothing_is_a_text_too(real, fixture_dir):
    predictor = predict.open_predictor(real.home, model=fixture_dir / "tiny.tflite")
    words = real.artifact.manifest.vocabulary
    tail = " ".join(words[:4])
    assert predictor.suggest(f"{' '.join(words)} {tail}") == predictor.suggest(tail)
    assert len(predictor.suggest("")) == 3
    with pytest.raises(ConfigError, match="at least 1, got 0"):
        predictor.suggest("see", 0)


def test_a_file_that_is_no_model_is_refused(real, tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(b"not a model")
    with pytest.raises(ModelError):
        predict.open_predictor(real.home, model=path)
