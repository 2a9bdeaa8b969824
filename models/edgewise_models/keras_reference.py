"""The author's model trained by TensorFlow itself: the reference that an exported file is rehearsed against.

Forward pass, loss, gradient and update are TensorFlow's and Keras' own; nothing of the lowering takes part. Only where
something is random is the forward pass the one that was written (so that both draw the same numbers), its gradient
still TensorFlow's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from edgewise_edge.trainer import Batch
from edgewise_models.optimizers import resolve_optimizer
from edgewise_models.plan import Plan, spread_weight
from edgewise_models.rehearsal import Rehearsal
from edgewise_models.tensorflow import tf
from edgewise_wire.errors import ModelError
from edgewise_wire.weights import Array, Weights

STEPS = 4
LEARNING_RATE = 0.02
SURE = 1e-3  # of the largest gradient of all weights: below it an element's gradient may be rounding


def rehearsal_of(plan: Plan, optimizer: Any, samples: Sequence[Batch] = (), *, seed: int = 0) -> Rehearsal:
    """Train the author's model for a few steps on random batches and on `samples`; its weights are put back.

    Raises:
        ModelError: if TensorFlow's own training gives something that is not a number.
    """
    batches = [*random_batches(plan, STEPS - min(len(samples), STEPS - 1), seed), *samples[: STEPS - 1]]
    reference = _Reference(plan, optimizer)
    variables = {**plan.trainable, **plan.state}
    with _put_back(plan.source.trainable, plan.source.state):
        states, steps = [_values(variables)], []
        for number, batch in enumerate(batches):
            steps.append(reference.step(batch, number))
            states.append(_values(variables))
        sums = tuple(reference.sums(batch) for batch in batches)
        inputs = random_inputs(plan.infer_specs, plan.source.integers, seed)
        outputs = {name: value.numpy() for name, value in plan.predict(**inputs).items()}
    for name, array in states[-1].items():
        if not np.isfinite(array).all():
            raise ModelError(
                f"weight {name!r} is not finite after {len(batches)} steps of TensorFlow's own training on random data;"
                " pass samples= of the real data"
            )
    adaptive = bool(plan.optimizer.slots)
    sure = {name: _sure(name, [g for _, g in steps]) if adaptive else np.ones(a.shape) for name, a in states[0].items()}
    return Rehearsal(
        tuple(batches), LEARNING_RATE, tuple(states), sure, tuple(loss for loss, _ in steps), sums, inputs, outputs
    )


class _Reference:
    def __init__(self, plan: Plan, optimizer: Any) -> None:
        self.plan = plan
        self.optimizer = resolve_optimizer(optimizer)
        self.optimizer.build(plan.source.optimized)
        self._gradients = tf.function(self._played, autograph=False) if plan.random else self._plain

    def step(self, batch: Batch, seed: int) -> tuple[float, dict[str, Array]]:
        """Take a step; return the loss before it and the gradients by name."""
        tensors = {name: tf.constant(array) for name, array in batch.items()}
        loss, gradients = self._gradients(tensors, tf.constant(seed, tf.int32))
        self.optimizer.learning_rate.assign(LEARNING_RATE)
        self.optimizer.apply(list(gradients), self.plan.source.optimized)
        return float(loss), {name: g.numpy() for name, g in zip(self.plan.trainable, gradients, strict=True)}

    def sums(self, batch: Batch) -> dict[str, float]:
        """Return the sums of `evaluate`."""
        values, metrics = self.plan.scoring.call(*(tf.constant(batch[spec.name]) for spec in self.plan.objective_specs))
        weight = tf.constant(batch["weight"])
        sums = {"loss_sum": values, **metrics}
        found = {name: float(tf.reduce_sum(v * spread_weight(weight, tuple(v.shape)))) for name, v in sums.items()}
        return found | {"weight_sum": float(batch["weight"].sum())}

    def _plain(self, tensors: Mapping[str, Any], seed: Any) -> Any:
        del seed
        variables = list(self.plan.trainable.values())
        with tf.GradientTape() as tape:
            inputs = [tensors[spec.name] for spec in self.plan.objective_specs]
            values, penalty = self.plan.objective.call(*inputs)
            loss = _mean(values, tensors["weight"]) + penalty
        return loss, [tf.convert_to_tensor(g) for g in tape.gradient(loss, variables)]

    def _played(self, tensors: Mapping[str, Any], seed: Any) -> Any:
        with tf.GradientTape() as tape:
            player = self.plan.player(seed)
            inputs = [tensors[spec.name] for spec in self.plan.objective_specs]
            weights = [player.value_of(v) for v in self.plan.trainable.values()]
            values, penalty = self.plan.objective.play(player, inputs)
            loss = _mean(values, tensors["weight"]) + penalty
        gradients = tape.gradient(loss, weights)
        for ref in player.assigned.values():
            ref.variable.assign(player.value_of(ref.variable))
        return loss, [tf.convert_to_tensor(g) for g in gradients]


def _mean(values: Any, weight: Any) -> Any:
    """Return the weighted mean of the loss's values."""
    spread = spread_weight(weight, tuple(values.shape))
    return tf.math.divide_no_nan(tf.reduce_sum(values * spread), tf.reduce_sum(weight))


def random_batches(plan: Plan, count: int, seed: int) -> list[Batch]:
    """Return batches of random inputs and of labels that suit the loss; some weights are 0."""
    rng = np.random.default_rng([seed, 7])
    batches: list[Batch] = []
    for number in range(count):
        scale = 1.0 + 2.0 * (number % 2)  # far enough out that bounded activations reach their bounds
        batch: dict[str, Array] = {spec.name: _random(rng, spec, plan.source.integers, scale) for spec in plan.specs}
        batch["labels"] = random_labels(rng, plan)
        weight = rng.uniform(0.5, 1.0, plan.weight.shape).astype(np.float32)
        if weight.size > 2:
            weight.flat[rng.integers(weight.size)] = 0.0
        batch["weight"] = weight
        batches.append(batch)
    return batches


def random_inputs(specs: Sequence[Any], integers: int, seed: int) -> dict[str, Array]:
    """Return random inputs of these specs; whole numbers stay below `integers`."""
    rng = np.random.default_rng([seed, 8])
    return {spec.name: _random(rng, spec, integers) for spec in specs}


def random_labels(rng: np.random.Generator, plan: Plan) -> Array:
    """Return labels: class numbers, one-hot rows, zeros and ones, or numbers from 0 to 1, as the loss wants."""
    shape, name = tuple(plan.labels.shape), plan.loss.name
    if plan.loss.sparse:
        return rng.integers(0, plan.output.shape[-1], shape).astype(np.int32)
    if "binary" in name or "hinge" in name:
        return rng.integers(0, 2, shape).astype(np.float32)
    if "categorical" in name or "kl" in name:
        classes = rng.integers(0, shape[-1], shape[:-1])
        return np.asarray(np.eye(shape[-1], dtype=np.float32)[classes])
    drawn: Array = rng.uniform(0.0, 1.0, shape).astype(np.float32)
    return drawn


def _random(rng: np.random.Generator, spec: Any, integers: int, scale: float = 1.0) -> Array:
    shape = tuple(spec.shape)
    if tf.as_dtype(spec.dtype).is_floating:
        return rng.normal(scale=scale, size=shape).astype(np.float32)
    if spec.dtype == tf.bool:
        return rng.integers(0, 2, shape).astype(np.bool_)
    drawn: Array = rng.integers(0, integers, shape).astype(tf.as_dtype(spec.dtype).as_numpy_dtype)
    return drawn


def _sure(name: str, gradients: Sequence[Mapping[str, Array]]) -> Array:
    """Return 1 where the gradient was well above rounding in every step, or exactly 0 in all."""
    if name not in gradients[0]:
        return np.ones(())  # state: no gradient moves it
    largest = [max(float(np.abs(g).max()) for g in step.values()) for step in gradients]
    clear = np.all([np.abs(step[name]) > SURE * most for step, most in zip(gradients, largest, strict=True)], axis=0)
    idle = np.all([step[name] == 0 for step in gradients], axis=0)
    sure: Array = (clear | idle).astype(np.uint8)
    return sure


def _values(variables: Mapping[str, Any]) -> Weights:
    return {name: variable.numpy() for name, variable in variables.items()}


@contextmanager
def _put_back(*groups: Mapping[str, Any]) -> Iterator[None]:
    """Undo what the steps did to the author's model."""
    held = [(variable, variable.numpy()) for group in groups for variable in group.values()]
    try:
        yield
    finally:
        for variable, value in held:
            variable.assign(value)
