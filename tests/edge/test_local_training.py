"""Local training at the limits where the answer is known, and against an independent loop."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgewise_edge.host import next_word_examples
from edgewise_edge.local_training import (
    ArrayExamples,
    Step,
    device_generator,
    evaluate_locally,
    run_to_end,
    train_locally,
)
from edgewise_edge.next_word import PackedExamples, rows
from edgewise_edge.tokenizer import WordTokenizer
from edgewise_edge.trainer import Trainer
from edgewise_wire.errors import InputError, RunError
from edgewise_wire.weights import flatten, unflatten

TEXTS = [f"see you at {word}" for word in ("seven", "tomorrow", "then", "you", "at")]


@pytest.fixture
def examples(world):
    return next_word_examples(world.trainer.manifest, TEXTS, False)


def train(world, examples, **changes):
    options = {"epochs": 1, "learning_rate": 0.25, "max_examples": 0, "rng": np.random.default_rng(1)} | changes
    return run_to_end(train_locally(world.trainer, world.weights, examples, **options))


def test_the_update_is_local_minus_round_weights_and_the_rounds_stay_as_they_are(world, examples):
    before = world.weights.copy()
    result = train(world, examples, epochs=2)
    local = flatten(world.trainer.get_weights(), world.trainer.manifest.weights)
    np.testing.assert_array_equal(result.update, local - before)
    np.testing.assert_array_equal(world.weights, before)
    assert result.update.dtype == np.float32
    assert (result.examples, result.steps) == (5, 6)


def test_the_loss_is_the_weighted_mean_over_the_last_epoch(world, examples):
    class Told:
        """Says losses by number: 1, 2, 3, ...; weight sums 1, 2, 1, 2, ..."""

        def __init__(self, inner):
            self.inner, self.count = inner, 0

        def train_step(self, batch, learning_rate, *, seed=0):
            self.count += 1
            step = self.inner.train_step(batch, learning_rate)
            step.loss, step.weight_sum = float(self.count), 1.0 + (self.count + 1) % 2
            return step

        def __getattr__(self, name):
            return getattr(self.inner, name)

    work = train_locally(
        Told(world.trainer),
        world.weights,
        examples,
        epochs=2,
        learning_rate=0.25,
        max_examples=0,
        rng=np.random.default_rng(0),
    )
    assert run_to_end(work).loss == pytest.approx((4 * 2 + 5 * 1 + 6 * 2) / 5)


def test_it_is_a_function_of_seed_round_and_device(world, examples):
    def update(*key):
        return train(world, examples, rng=device_generator(*key)).update.tobytes()

    keys = [(1, 2, "pi-7"), (1, 2, "pi-8"), (1, 3, "pi-7"), (2, 2, "pi-7"), (1 + (1 << 40), 2, "pi-7")]
    assert update(*keys[0]) == update(*keys[0])
    draws = [tuple(device_generator(*key).integers(1 << 30, size=4)) for key in keys]
    assert len(set(draws)) == len(keys)


def test_at_most_so_many_examples_are_used_and_they_are_a_random_sample(world):
    class Watched(ArrayExamples):
        def batches(self, order):
            seen.append(tuple(order))
            return super().batches(order)

    arrays = {"labels": np.ones((40, 4), np.int32), "weight": np.ones((40, 4), np.float32)}
    seen: list[tuple[int, ...]] = []
    result = train(world, Watched(arrays, 2), epochs=3, max_examples=6)
    assert (result.examples, result.steps) == (6, 9)
    assert len({frozenset(order) for order in seen}) == 1  # the same six in every epoch,
    assert len(set(seen)) == 3  # each time in another order,
    assert seen[0] != tuple(range(6))  # and not simply the first


def test_it_can_be_stopped_between_any_two_batches_and_says_how_far_it_is(world, examples):
    work = train_locally(
        world.trainer,
        world.weights,
        examples,
        epochs=2,
        learning_rate=0.25,
        max_examples=0,
        rng=np.random.default_rng(0),
    )
    assert [next(work)[:2] for _ in range(4)] == [(1, 6), (2, 6), (3, 6), (4, 6)]
    work.close()
    assert world.trainer.steps == 4


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_stops_it(world, examples, loss):
    world.trainer.loss = loss
    with pytest.raises(RunError, match=f"loss of step 1 is {loss} at learning rate 0.25"):
        train(world, examples)


def test_an_update_that_is_not_finite_is_an_error_that_names_the_weight(world, examples):
    world.trainer.loss = 1.0
    with np.errstate(all="ignore"), pytest.raises(RunError, match="'embedding' is not finite"):
        train(world, examples, learning_rate=3e38)


def test_weights_of_another_size_are_refused_before_anything_is_set(world, examples):
    with pytest.raises(InputError, match=r"float32\[410\]"):
        run_to_end(evaluate_locally(world.trainer, world.weights[:-1], examples))


def test_evaluation_adds_up_sums_over_all_batches_and_trains_nothing(world, examples):
    work = evaluate_locally(world.trainer, world.weights, examples)
    assert next(work) == Step(1, 3, 0.0)
    result = run_to_end(work)
    assert result.sums == {"loss_sum": 40.0, "weight_sum": 20.0, "top1": 3.0}
    assert (result.examples, world.trainer.steps) == (5, 0)
    few = run_to_end(evaluate_locally(world.trainer, world.weights, examples, max_examples=2))
    assert (few.examples, few.sums["weight_sum"]) == (2, 8.0)


def test_evaluation_refuses_sums_that_are_not_finite(world, examples):
    world.trainer.evaluate_step = lambda batch: {"loss_sum": float("nan")}
    with pytest.raises(RunError, match="'loss_sum' is nan"):
        run_to_end(evaluate_locally(world.trainer, world.weights, examples))


def test_the_agents_batches_are_those_of_the_next_word_task(world, examples):
    manifest = world.trainer.manifest
    found = rows(TEXTS, WordTokenizer(manifest.vocabulary), steps=manifest.steps)
    expected = [*ArrayExamples(found._asdict(), manifest.batch).batches(np.arange(5))]
    got = [*examples.batches(np.arange(5))]
    assert len(got) == len(expected) == 3
    for one, other in zip(got, expected, strict=True):
        assert set(one) == set(other)
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])
            assert one[name].dtype == other[name].dtype


def test_messages_share_rows_only_where_the_graph_begins_anew_at_each(world):
    manifest = world.trainer.manifest
    assert not manifest.packs
    assert isinstance(next_word_examples(manifest, TEXTS, False), ArrayExamples)
    assert isinstance(next_word_examples(replace(manifest, packs=True), TEXTS, False), PackedExamples)


@pytest.fixture(scope="session")
def tiny(fixture_dir):
    return Trainer(fixture_dir / "tiny.tflite")


def test_on_the_real_runtime_it_equals_a_plain_loop_of_train_steps(tiny):
    words = tiny.manifest.vocabulary
    texts = [f"{words[n]} {words[n + 1]} {words[n + 2]}" for n in range(10)]
    examples = next_word_examples(tiny.manifest, texts, False)
    start = flatten(tiny.get_weights(), tiny.manifest.weights)
    result = run_to_end(
        train_locally(
            tiny, start, examples, epochs=2, learning_rate=0.5, max_examples=7, rng=device_generator(1, 1, "pi-7")
        )
    )
    rng = device_generator(1, 1, "pi-7")
    tiny.set_weights(unflatten(start, tiny.manifest.weights))
    chosen = rng.permutation(10)[:7]
    losses = []
    for order in (chosen, None):
        for batch in examples.batches(chosen if order is not None else rng.permutation(chosen)):
            losses.append(tiny.train_step(batch, 0.5))
            rng.integers(1 << 31)  # the seed of a step, which this model does not use
    np.testing.assert_array_equal(result.update, flatten(tiny.get_weights(), tiny.manifest.weights) - start)
    assert result.loss == pytest.approx(
        np.average([x.loss for x in losses[2:]], weights=[x.weight_sum for x in losses[2:]])
    )
    assert (result.examples, result.steps) == (7, 4)
    assert np.abs(result.update).max() > 1e-3


def test_training_on_the_real_runtime_lowers_the_loss_on_what_was_trained(tiny):
    words = tiny.manifest.vocabulary
    examples = next_word_examples(tiny.manifest, [f"{words[0]} {words[1]} {words[2]}"] * 8, False)
    start = flatten(tiny.get_weights(), tiny.manifest.weights)

    def loss(weights):
        sums = run_to_end(evaluate_locally(tiny, weights, examples)).sums
        return sums["loss_sum"] / sums["weight_sum"]

    update = run_to_end(
        train_locally(tiny, start, examples, epochs=8, learning_rate=0.5, max_examples=0, rng=np.random.default_rng(0))
    ).update
    assert loss(start + update) < 0.9 * loss(start)
