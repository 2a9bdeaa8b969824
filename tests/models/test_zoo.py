"""Every model of the zoo exports at a small size and trains as TensorFlow does."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from edgewise.simulation import simulate
from edgewise_edge.host import next_word_examples
from edgewise_edge.predict import Predictor
from edgewise_edge.trainer import Trainer
from edgewise_models import zoo
from edgewise_models.keras_export import export_trainable
from edgewise_wire.errors import ModelError
from simulated import people

WORDS = ("see", "you", "me", "so", "it", "is", "we", "go", "up")
SMALL = {
    "mlp": {"features": 5, "hidden": (6,), "classes": 3},
    "cnn": {"size": 8, "filters": (3, 4), "classes": 3},
    "mobile": {"size": 8, "widths": (4, 6), "classes": 3},
    "gru": {"vocabulary": WORDS, "width": 5, "units": 6, "steps": 5},
    "transformer": {"vocabulary": WORDS, "width": 8, "heads": 2, "depth": 1, "steps": 4},
}


def test_nothing_of_the_zoo_is_left_out() -> None:
    assert sorted(SMALL) == zoo.__all__


@pytest.mark.parametrize("name", zoo.__all__)
def test_a_model_of_the_zoo_exports_and_trains(tmp_path, name) -> None:
    keras.utils.set_random_seed(1)
    arguments = getattr(zoo, name)(**SMALL[name]) | {"batch": 2, "corrected": False}
    model, loss = arguments.pop("model"), arguments.pop("loss")
    made = export_trainable(model, loss, path=tmp_path / "model.tflite", **arguments)
    assert made.proofs[0].change < 2e-3
    manifest = made.artifact.manifest
    if name in ("gru", "transformer"):
        _check_next_word(made.artifact, SMALL[name]["steps"])
    else:
        assert (manifest.task, manifest.steps, manifest.vocabulary) == ("keras", 0, ())


def _check_next_word(artifact, steps) -> None:
    """As with Gboard's model: a device's texts train it, a simulation too, and it suggests words."""
    manifest = artifact.manifest
    assert (manifest.task, manifest.steps, manifest.vocabulary) == ("next-word", steps, WORDS)
    assert [str(spec) for spec in (*manifest.inputs, manifest.labels)] == [f"int32[2, {steps}]"] * 2
    trainer = Trainer(artifact.data)
    examples = next_word_examples(manifest, ["see you", "so it is", "see me"], False)
    batches = list(examples.batches(np.arange(len(examples))))
    first = trainer.train_step(batches[0], 0.5).loss
    for _ in range(100):
        last = trainer.train_step(batches[0], 1.0).loss
    assert last < first / 2
    assert Predictor(trainer).suggest("so", 1)[0].word == "it"
    sums = trainer.evaluate_step(next(iter(next_word_examples(manifest, ["so it is"], True).batches(np.arange(1)))))
    assert sums["top1"] >= 2
    assert sums["weight_sum"] == 3
    run = simulate(artifact.data, people(3), rounds=2, cohort=2, epochs=1, learning_rate=0.5, engine="inline")
    assert run.history[-1]["loss"] < run.history[0]["loss"]


@pytest.mark.parametrize(
    ("name", "least", "most"), [("transformer", 1.3e6, 2.5e6), ("mlp", 1e3, 1e4), ("cnn", 1e5, 1e6)]
)
def test_the_default_sizes_are_useful_ones(name, least, most) -> None:
    assert least < getattr(zoo, name)()["model"].count_params() < most


def test_words_go_only_with_a_model_that_takes_their_ids(tmp_path) -> None:
    arguments = zoo.gru(**SMALL["gru"]) | {"words": WORDS[:-1]}
    model, loss = arguments.pop("model"), arguments.pop("loss")
    with pytest.raises(ModelError, match=r"8 words and 4 marks need scores \[16, 5, 12\]"):
        export_trainable(model, loss, path=tmp_path / "model.tflite", **arguments)
