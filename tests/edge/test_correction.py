"""Corrected local training against the papers' loops, written out in float64."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from edgewise_edge.correction import Correction
from edgewise_edge.host import next_word_examples
from edgewise_edge.local_training import LocalUpdate, run_to_end, train_locally
from edgewise_wire.errors import RunError
from edgewise_wire.weights import WeightSpec, unflatten

TEXTS = [f"see you at {word}" for word in ("seven", "tomorrow", "then", "you", "at")]
ETA = 0.25


@pytest.fixture
def examples(world):
    return next_word_examples(world.trainer.manifest, TEXTS, False)


def train(world, examples, correction: Correction | None, epochs: int = 2) -> LocalUpdate:
    rng = np.random.default_rng(1)
    return run_to_end(
        train_locally(
            world.trainer,
            world.weights,
            examples,
            epochs=epochs,
            learning_rate=ETA,
            max_examples=0,
            rng=rng,
            correction=correction,
        )
    )


def targets(world, examples, epochs: int = 2) -> list[float]:
    """Return what each step of `train` pulls towards: TinyTrainer's gradient is w - target."""
    seen = []
    original = world.trainer.train_step

    def spy(batch: Mapping[str, np.ndarray], learning_rate: float, *, seed: int = 0):
        seen.append(float((batch["labels"] * batch["weight"]).sum() / batch["weight"].sum()))
        return original(batch, learning_rate, seed=seed)

    world.trainer.train_step = spy
    train(world, examples, None, epochs)
    world.trainer.train_step = original
    return seen


def variates(world) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(7)
    c, own = (rng.normal(0, 0.3, len(world.weights)).astype("f4") for _ in range(2))
    return c, own


def test_without_mu_and_with_zero_variates_it_is_plain_training(world, examples):
    plain = train(world, examples, None).update
    zeros = np.zeros_like(plain)
    np.testing.assert_allclose(train(world, examples, Correction(0.0)).update, plain, atol=1e-7)
    scaffold = train(world, examples, Correction(0.0, zeros, None)).update
    np.testing.assert_allclose(scaffold[: len(plain)], plain, atol=1e-7)


def test_fedprox_is_its_paper_step_by_step(world, examples):
    mu, w0 = 0.7, world.weights.astype("f8")
    w = w0.copy()
    for target in targets(world, examples):
        w = w - ETA * ((w - target) + mu * (w - w0))
    np.testing.assert_allclose(train(world, examples, Correction(mu)).update, w - w0, atol=1e-5)


def test_the_stronger_the_pull_the_closer_to_the_rounds_weights(world, examples):
    norms = [train(world, examples, Correction(mu)).norm for mu in (0.0, 0.1, 1.0, 3.0)]
    assert norms == sorted(norms, reverse=True)


@pytest.mark.parametrize("first", [True, False])
def test_scaffold_is_algorithm_1_with_option_ii(world, examples, first):
    """Lines 7 to 13 of Karimireddy et al. 2020."""
    c, own = variates(world)
    own_wide = np.zeros(len(c)) if first else own.astype("f8")
    x = world.weights.astype("f8")
    y = x.copy()
    steps = targets(world, examples)
    for target in steps:
        y = y - ETA * ((y - target) - own_wide + c)
    own_after = own_wide - c + (x - y) / (len(steps) * ETA)

    found = train(world, examples, Correction(0.0, c, None if first else own))
    delta_y, delta_c = np.split(found.update, 2)
    np.testing.assert_allclose(delta_y, y - x, atol=1e-5)
    np.testing.assert_allclose(delta_c, own_after - own_wide, atol=1e-5)
    np.testing.assert_allclose(found.control, own_after, atol=1e-5)
    assert found.norm == pytest.approx(np.linalg.norm(y - x), rel=1e-4)


def test_the_own_variate_becomes_the_mean_gradient_on_the_way(world, examples):
    """§4: with c = cᵢ = 0, option II's cᵢ⁺ is the mean of the gradients that were stepped along."""
    w, gradients = world.weights.astype("f8"), []
    for target in targets(world, examples):
        gradients.append(w - target)
        w = w - ETA * gradients[-1]
    found = train(world, examples, Correction(0.0, np.zeros_like(world.weights)))
    np.testing.assert_allclose(found.control, np.mean(gradients, 0), atol=1e-5)


def test_both_corrections_add_up(world, examples):
    c, own = variates(world)
    specs = world.trainer.manifest.weights
    both, prox = (Correction(0.5, c, own).offset(world.weights, specs), Correction(0.5).offset(world.weights, specs))
    variate = Correction(0.0, c, own).offset(world.weights, specs)
    for name in both:
        np.testing.assert_allclose(both[name], prox[name] + variate[name], atol=1e-6)


def test_averaged_state_has_neither_offset_nor_variate():
    specs = (WeightSpec("kernel", (2,)), WeightSpec("mean", (3,), role="state"))
    correction = Correction(0.5, np.ones(5, "f4"))
    assert list(correction.offset(np.ones(5, "f4"), specs)) == ["kernel"]
    change = unflatten(correction.change(np.ones(5, "f4"), specs, 4, 0.5), specs)
    np.testing.assert_allclose(change["kernel"], -1 - 1 / 2)
    np.testing.assert_array_equal(change["mean"], 0)


def test_plain_training_never_touches_the_corrected_signature(world, examples):
    def refuse(*_: object, **__: object) -> None:
        raise RunError("FedAvg must not pay for corrections")

    world.trainer.set_offset = world.trainer.train_corrected_step = refuse
    assert train(world, examples, None).steps == 6
