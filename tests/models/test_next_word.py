"""The next-word model has the sizes it was asked for, and its graph is TensorFlow's own to 1e-4."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgewise_edge.tokenizer import UNKNOWN
from edgewise_edge.trainer import Trainer
from edgewise_models.export import export_next_word
from edgewise_models.fixtures import TINY, WORDS
from edgewise_models.next_word import MARKS, SPARE_BIAS, NextWord, NextWordModule, with_words_dropped
from edgewise_models.next_word_reference import (
    LEARNING_RATE,
    NextWordReference,
    proof_batches,
    prove_next_word,
    variant_batch,
)
from edgewise_models.tensorflow import tf
from edgewise_models.writer import build_artifact
from edgewise_wire.artifact import Artifact
from edgewise_wire.errors import ConfigError, DataError
from edgewise_wire.weights import parameters


def words(config: NextWord) -> tuple[str, ...]:
    return tuple(f"w{number}" for number in range(config.vocabulary - MARKS))


def build(config: NextWord) -> bytes:
    module = NextWordModule(config)
    return build_artifact(
        module.functions(), module.weights, module.facts("test", words(config)), offsets=module.offsets
    )


def test_the_full_model_has_gboards_parameters() -> None:
    assert parameters(NextWord().specs) == 1_422_250


@pytest.mark.parametrize(
    "config",
    [
        NextWord(vocabulary=7, embedding=1, units=1, steps=2, batch=1, seed=1),
        NextWord(vocabulary=41, embedding=8, units=3, steps=4, batch=2, seed=2),
        NextWord(vocabulary=23, embedding=5, units=9, steps=7, batch=3, seed=4, clip_norm=0.05, corrected=False),
        NextWord(vocabulary=23, embedding=5, units=9, steps=7, batch=3, seed=4, low_memory=True),
        NextWord(vocabulary=23, embedding=5, units=9, steps=7, batch=3, seed=4, word_dropout=0.4),
    ],
)
def test_every_size_is_a_parameter_and_is_proved(config: NextWord) -> None:
    data = build(config)
    [proof] = prove_next_word(data, config)
    assert (proof.steps, proof.loss < 1e-5, proof.weight < 1e-5) == (5, True, True)
    manifest = Artifact.load(data).manifest
    assert (manifest.batch, manifest.steps, manifest.weights) == (config.batch, config.steps, config.specs)
    assert manifest.seed == (config.word_dropout > 0)


def test_batches_with_few_words_take_smaller_graphs_with_the_same_result() -> None:
    config = NextWord(vocabulary=23, embedding=5, units=9, steps=8, batch=8, seed=4, buckets=True)
    assert [(v.steps, v.rows) for v in config.train_variants] == [(8, 16), (8, 32)]
    data = build(config)
    [proof] = prove_next_word(data, config)
    assert (proof.steps, proof.weight < 1e-5) == (7, True)
    trainer = Trainer(data)
    called: list[str] = []
    call = trainer._session.call
    trainer._session.call = lambda name, inputs: (called.append(name), call(name, inputs))[1]  # type: ignore[method-assign]
    for steps, rows, signature in [
        (8, 64, "train"),
        (8, 33, "train"),
        (8, 32, "train_32"),
        (6, 17, "train_32"),
        (8, 16, "train_16"),
        (1, 1, "train_16"),
    ]:
        weight = np.zeros(8 * steps, np.float32)
        weight[-rows:] = 1
        batch = {**variant_batch(config, 8, 64), "weight": np.pad(weight.reshape(8, steps), ((0, 0), (0, 8 - steps)))}
        trainer.train_step(batch, 0.1)
        assert called[-1] == signature


def test_a_model_has_one_training_graph_unless_more_are_asked_for_and_worth_it() -> None:
    assert NextWord().train_variants == ()
    assert NextWord(steps=7, batch=9, buckets=True).train_variants == ()
    assert NextWord(low_memory=True, buckets=True).train_variants == ()
    assert [(v.steps, v.rows) for v in NextWord(batch=16, buckets=True).train_variants] == [(20, 80), (20, 160)]


def test_sentences_that_share_a_row_train_as_they_would_in_rows_of_their_own(fixture_dir: Path) -> None:
    """Rows of five places: messages of two and three words side by side, and one of each in its own row."""
    apart = np.array([[2, 7, 0, 0, 0], [2, 9, 8, 0, 0], [2, 11, 6, 0, 0], [2, 5, 0, 0, 0]], np.int32)
    following = np.array([[7, 3, 0, 0, 0], [9, 8, 3, 0, 0], [11, 6, 3, 0, 0], [5, 3, 0, 0, 0]], np.int32)
    packed, labels = np.zeros_like(apart), np.zeros_like(apart)
    for row, (left, right) in enumerate([(0, 1), (2, 3)]):
        for array, source in ((packed, apart), (labels, following)):
            parts = [source[number][apart[number] > 0] for number in (left, right)]
            array[row] = np.concatenate(parts)
    found = []
    for tokens, wanted in ((apart, following), (packed, labels)):
        trainer = Trainer(fixture_dir / "tiny.tflite")
        batch = {"tokens": tokens, "labels": wanted, "weight": (wanted > 0).astype(np.float32)}
        step, sums = trainer.train_step(batch, 0.5), trainer.evaluate_step(batch)
        found.append((step, sums, trainer.get_weights()))
    (one, one_sums, apart_weights), (other, other_sums, packed_weights) = found
    assert other.loss == pytest.approx(one.loss, rel=1e-6)
    assert other.weight_sum == one.weight_sum == 10
    for name, value in one_sums.items():
        assert other_sums[name] == pytest.approx(value, rel=1e-6)
    for name, array in apart_weights.items():
        np.testing.assert_allclose(packed_weights[name], array, atol=1e-7)


def test_a_share_of_the_words_is_read_as_unknown_and_nothing_else_is() -> None:
    tokens = np.tile(np.array([2, 9, 8, 1, 3, 0, 5, 6], np.int32), (40, 50))
    read = [with_words_dropped(tf.constant(tokens), 0.3, tf.constant(seed)).numpy() for seed in (7, 7, 8)]
    np.testing.assert_array_equal(read[0], read[1])
    dropped = read[0] != tokens
    assert (read[0][dropped] == UNKNOWN).all()
    assert not dropped[tokens < MARKS].any()
    words = tokens >= MARKS
    # 8,000 words: five standard deviations of their share are 0.026. Two seeds agree in 0.3² + 0.7² of them.
    assert dropped[words].mean() == pytest.approx(0.3, abs=0.026)
    assert (dropped == (read[2] != tokens))[words].mean() == pytest.approx(0.58, abs=0.028)


def test_each_step_drops_the_words_of_its_seed_and_evaluation_reads_them_all() -> None:
    config = NextWord(vocabulary=23, embedding=5, units=9, steps=7, batch=3, seed=4, word_dropout=0.5)
    trainer, plain = Trainer(build(config)), Trainer(build(replace(config, word_dropout=0.0)))
    batch = next(proof_batches(config))
    assert trainer.evaluate_step(batch) == plain.evaluate_step(batch)
    before, ends = trainer.get_weights(), []
    for seed in (5, 5, 6):
        trainer.set_weights(before)
        trainer.train_step(batch, 0.5, seed=seed)
        ends.append(trainer.get_weights()["embedding"])
    np.testing.assert_array_equal(ends[0], ends[1])
    assert not np.array_equal(ends[0], ends[2])
    read = with_words_dropped(tf.constant(batch["tokens"]), 0.5, tf.constant(6)).numpy()
    plain.train_step({**batch, "tokens": read}, 0.5)
    np.testing.assert_allclose(plain.get_weights()["embedding"], ends[2], atol=1e-7)


def test_clipping_bounds_the_step() -> None:
    config = NextWord(vocabulary=23, embedding=5, units=9, steps=7, batch=3, seed=4, clip_norm=0.01)
    trainer = Trainer(build(config))
    before = trainer.get_weights()
    trainer.train_step(next(proof_batches(config)), 0.5)
    after = trainer.get_weights()
    moved = np.sqrt(sum(float(((after[name] - before[name]) ** 2).sum()) for name in before))
    assert moved == pytest.approx(0.01 * 0.5, rel=1e-3)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_the_same_graph(fixture_dir: Path, tmp_path: Path) -> None:
    again = export_next_word(tmp_path / "again.tflite", WORDS, TINY, name="tiny").artifact
    assert again.data == (fixture_dir / "tiny.tflite").read_bytes()
    other = Artifact.load(build(NextWord(vocabulary=30, embedding=6, units=10, steps=5, batch=4, seed=4)))
    first = Artifact.load(build(TINY))
    assert other.graph_hash == first.graph_hash
    assert other.weights_hash != first.weights_hash


def test_training_learns_a_repeated_sentence(fixture_dir: Path) -> None:
    trainer = Trainer(fixture_dir / "tiny.tflite")
    sentence = np.array([2, 4, 5, 6, 3], np.int32)
    tokens = np.tile(np.append(sentence[:4], 0), (4, 1)).astype(np.int32)
    labels = np.tile(np.append(sentence[1:], 0), (4, 1)).astype(np.int32)
    batch = {"tokens": tokens, "labels": labels, "weight": (labels > 0).astype(np.float32)}
    losses = [trainer.train_step(batch, 1.0).loss for _ in range(300)]
    assert losses[-1] < 0.05 < 3 < losses[0]
    assert trainer.infer(np.array([[2, 4, 5, 0, 0]], np.int32)).ids[0] == 6


def test_the_reference_evaluates_as_counted_by_hand() -> None:
    reference = NextWordReference(TINY)
    batch = [*proof_batches(TINY)][2]
    logits = reference.logits(batch["tokens"]).numpy()
    top1 = 0.0
    for index in np.ndindex(batch["labels"].shape):
        best = MARKS + int(np.argmax(logits[index][MARKS:]))
        top1 += float(batch["weight"][index]) * (best == batch["labels"][index])
    least, most = reference.evaluate_step(batch)["top1"]
    assert least == most == pytest.approx(top1)
    assert LEARNING_RATE > 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vocabulary": 6}, "vocabulary: expected 7 or more, got 6"),
        ({"units": 0}, "units: expected 1 or more, got 0"),
        ({"steps": 1}, "steps: expected 2 or more"),
        ({"clip_norm": 0.0}, "clip norm: expected more than 0"),
        ({"word_dropout": 1.0}, "word dropout: expected 0 to 1"),
    ],
)
def test_a_size_out_of_range_is_named(changes: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        NextWord(**changes)


def test_words_that_do_not_fill_the_vocabulary_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected 26 words, got 25"):
        export_next_word(tmp_path / "m.tflite", WORDS[:-1], TINY)
    assert not list(tmp_path.iterdir())


def test_spare_ids_are_never_suggested_and_never_move(tmp_path: Path) -> None:
    words = [f"w{n}" for n in range(6)]
    config = NextWord(vocabulary=MARKS + 6 + 90, embedding=4, units=5, steps=3, batch=2, spare=90)
    export_next_word(tmp_path / "spare.tflite", words, config)
    trainer = Trainer(tmp_path / "spare.tflite")
    batch = {
        "tokens": np.array([[2, 4, 5], [2, 6, 9]], np.int32),
        "labels": np.array([[4, 5, 3], [6, 9, 3]], np.int32),
        "weight": np.ones((2, 3), np.float32),
    }
    loss = trainer.evaluate_step(batch)["loss_sum"] / 6
    assert loss < np.log(MARKS + 6) + 1  # the 90 ids take no part in the softmax
    for _ in range(20):
        trainer.train_step(batch, 1.0)
    np.testing.assert_array_equal(trainer.get_weights()["output_bias"][-90:], np.full(90, SPARE_BIAS, np.float32))
    for tokens in ([[2, 0, 0]], [[2, 4, 5]]):
        assert trainer.infer(np.array(tokens, np.int32)).ids.max() < MARKS + 6
