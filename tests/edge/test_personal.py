"""Personal fine-tuning on a real model: kept only where it helps, used only with the model it began from, forgotten."""

from __future__ import annotations

import stat

import numpy as np
import pytest

from edgewise_edge.home import Home
from edgewise_edge.host import DeviceHost
from edgewise_edge.model import LatestModel
from edgewise_edge.personal import Note, Personal
from edgewise_edge.predict import open_latest, open_predictor
from edgewise_edge.store import ExampleStore
from edgewise_wire.artifact import Artifact
from edgewise_wire.blobs import BlobStore, make_ref
from edgewise_wire.errors import DataError
from edgewise_wire.messages import Assignment, Kind
from edgewise_wire.weights import flatten, to_bytes


@pytest.fixture
def home(tmp_path, fixture_dir):
    """A device that holds the tiny model, and whose owner always says the same."""
    made = Home(tmp_path / "home")
    artifact = Artifact.load(fixture_dir / "tiny.tflite")
    weights = to_bytes(flatten(artifact.weights(), artifact.manifest.weights))
    graph = (fixture_dir / "tiny.tflite").read_bytes()
    for data in (graph, weights):
        with BlobStore(made.blobs).assembler(make_ref(data)) as assembler:
            for index, at in enumerate(range(0, len(data), assembler.ref.chunk_bytes)):
                assembler.add(index, data[at : at + assembler.ref.chunk_bytes])
            assembler.finish()
    LatestModel(made).save(Assignment(1, graph=make_ref(graph), weights=make_ref(weights)), 1)
    with ExampleStore(made.examples) as store:
        store.add_many(["can you see me at the"] * 50)
    return made


def tune(home, **options):
    latest, trainer, weights = open_latest(home)
    with ExampleStore(home.examples) as store:
        host = DeviceHost(home, store)
        train, held_out = (host.examples(trainer.manifest, kind) for kind in (Kind.TRAIN, Kind.EVALUATE))
    rng = np.random.default_rng(0)
    return latest, Personal(home).tune(latest, trainer, weights, train, held_out, rng=rng, **options)


def test_what_helps_is_kept_and_used_and_says_its_gain(home):
    latest, note = tune(home, epochs=60, learning_rate=2.0)
    assert note.kept
    assert note.gain == pytest.approx(note.top1_after - note.top1_before)
    assert note.gain > 0.3
    assert (note.train_examples, note.held_out_examples) == (40, 10)
    assert Personal(home).note() == note
    plain, own = (open_predictor(home, personal=personal).suggest("can you", 3) for personal in (False, True))
    assert own[0].word == "see"
    assert own[0].probability > 3 * max(one.probability for one in plain)
    assert stat.S_IMODE((home.path / "personal").stat().st_mode) == 0o700
    assert Personal(home).is_fresh(latest, 43)
    assert not Personal(home).is_fresh(latest, 44)


def test_what_does_not_help_is_not_kept(home):
    _, note = tune(home, epochs=1, learning_rate=1e-9)
    assert (note.kept, note.gain) == (False, 0.0)
    assert not (home.path / "personal" / "weights").exists()
    assert open_predictor(home, personal=True).suggest("can you") == open_predictor(home).suggest("can you")


def test_another_model_makes_personal_weights_stale(home):
    latest, _ = tune(home, epochs=60, learning_rate=2.0)
    _, trainer, _ = open_latest(home)
    newer = type(latest)(latest.graph, b"n" * 32, 2, 2)
    assert Personal(home).load(latest, trainer) is not None
    assert Personal(home).load(newer, trainer) is None
    assert not Personal(home).is_fresh(newer, 40)


def test_it_can_be_forgotten_and_a_torn_note_counts_as_none(home):
    tune(home, epochs=1)
    (home.path / "personal" / "note.json").write_text('{"base": ')
    assert Personal(home).note() is None
    (home.path / "personal" / "note.json").write_text('{"base": "x"}')
    assert Personal(home).note() is None
    Personal(home).forget()
    Personal(home).forget()
    assert not (home.path / "personal").exists()


def test_without_text_to_measure_with_there_is_nothing_to_say(home):
    with ExampleStore(home.examples) as store:
        store.forget(everything=True)
        store.add_many(["see you"] * 3, held_out=False)
    with pytest.raises(DataError, match="3 examples to train on and 0 held out"):
        tune(home)
    assert isinstance(Note("", 1, 1, 0.0, 0.0, 0.0, 0.0, False).gain, float)
