"""The proof: a model file trains as TensorFlow does, through the very trainer that devices run, before it is written.

What is compared with an independent reference: the initial weights, the loss of each step, the weights after the last
one (and how far each moved, so that a weight that stays still is noticed), the sums of `evaluate`, and `infer`. Then
the weights are set back and the first step repeated, so `set_weights` is proved too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from edgewise_edge.trainer import Batch, Trainer
from edgewise_wire.errors import ModelError
from edgewise_wire.weights import Array, Weights

TOLERANCE = 1e-4  # on losses and weights: float32 against float64 over five steps
CHANGE_TOLERANCE = 1e-3  # on a weight's change, in parts of its largest change, beyond the rounding of its own value
ROUNDING = 2.0**-24  # of one float32 operation, in parts of its result


class Bounds(NamedTuple):
    """The least and the most that a sum may be: rounding may tip a rank where two words are almost equal."""

    least: float
    most: float


class Reference(Protocol):
    """An independent implementation of the same model, in its own weights."""

    def weights(self) -> Weights:
        """Return the weights as they are now."""

    def train_step(self, batch: Batch, learning_rate: float) -> tuple[float, float]:
        """Take a step; return the weighted mean loss before it and the sum of the weights."""

    def evaluate_step(self, batch: Batch) -> Mapping[str, float | Bounds]:
        """Return the sums of a batch."""

    def check_infer(self, trainer: Trainer) -> None:
        """Compare `infer` with its own. Raises ModelError if they differ."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What was proved: with which runtime, over how many steps, and the largest differences met.

    `change` is the largest difference between two weights' changes in parts of that weight's largest change.
    """

    runtime: str
    steps: int
    loss: float
    weight: float
    change: float


def prove(
    data: bytes,
    reference: Reference,
    batches: Sequence[Batch],
    *,
    learning_rate: float,
    runtime: str | None = None,
    threads: int = 1,
) -> Proof:
    """Train a model file and a reference side by side on `batches`.

    Raises:
        ModelError: saying what differs, by how much, and how much may.
    """
    trainer = Trainer(data, runtime=runtime, threads=threads)
    before = {name: array.astype(np.float64) for name, array in reference.weights().items()}
    _compare_weights(trainer.get_weights(), before, 0)
    losses = [_compare_step(trainer, reference, batch, learning_rate) for batch in batches]
    weight, change = compare_training(trainer.get_weights(), before, reference.weights(), len(batches))
    for batch in batches:
        _compare_sums(trainer.evaluate_step(batch), reference.evaluate_step(batch))
    reference.check_infer(trainer)
    _check_repeat(trainer, before, batches[0], learning_rate, losses[0][0])
    return Proof(trainer.runtime, len(batches), max(difference for _, difference in losses), weight, change)


def compare_training(got: Weights, before: Weights, after: Weights, steps: int) -> tuple[float, float]:
    """Compare weights with a reference's `after` so many steps; return the largest difference of weights and changes.

    Raises:
        ModelError: naming the weight that differs.
    """
    weight = _compare_weights(got, after, steps)
    return weight, max(_compare_change(name, got[name], before[name], after[name], steps) for name in after)


def close(what: str, got: float, expected: float, tolerance: float = TOLERANCE) -> float:
    """Return how far two numbers are apart, in parts of the expected one where that is above 1.

    Raises:
        ModelError: if that is more than `tolerance`, or not a number.
    """
    difference = abs(got - expected) / max(1.0, abs(expected))
    if not difference <= tolerance:
        raise ModelError(
            f"the proof failed: {what} is {got:.7g}, TensorFlow says {expected:.7g} (within {tolerance:g})"
        )
    return difference


def _compare_step(trainer: Trainer, reference: Reference, batch: Batch, learning_rate: float) -> tuple[float, float]:
    got = trainer.train_step(batch, learning_rate)
    loss, weight_sum = reference.train_step(batch, learning_rate)
    close("the sum of a batch's weights", got.weight_sum, weight_sum)
    return got.loss, close("a step's loss", got.loss, loss)


def _compare_weights(got: Weights, expected: Weights, steps: int) -> float:
    worst = 0.0
    for name, array in expected.items():
        at = int(np.argmax(np.abs(got[name] - array)))
        what = f"weight {name!r} after {steps} steps at element {at}"
        worst = max(worst, close(what, float(got[name].flat[at]), float(array.flat[at])))
    return worst


def _compare_change(name: str, got: Array, before: Array, after: Array, steps: int) -> float:
    moved = float(np.abs(after - before).max())
    if moved == 0.0:
        raise ModelError(f"the proof failed: TensorFlow's gradient does not reach the weight {name!r}")
    rounding = 2 * steps * ROUNDING * float(np.abs(after).max())  # a bias of 1 that moves by 1e-4 keeps three digits
    difference = max(0.0, float(np.abs(got - after).max()) - rounding) / moved
    if not difference <= CHANGE_TOLERANCE:
        raise ModelError(
            f"the proof failed: the change of weight {name!r} differs from TensorFlow's by {difference:.2g} of its"
            f" largest change {moved:.3g} (within {CHANGE_TOLERANCE:g})"
        )
    return difference


def _compare_sums(got: Mapping[str, float], expected: Mapping[str, float | Bounds]) -> None:
    if set(got) != set(expected):
        raise ModelError(f"the proof failed: 'evaluate' returns {sorted(got)}, expected {sorted(expected)}")
    for name, value in expected.items():
        least, most = value if isinstance(value, Bounds) else (value, value)
        close(f"the sum {name!r}", got[name], min(max(got[name], least), most))


def _check_repeat(trainer: Trainer, before: Weights, batch: Batch, learning_rate: float, loss: float) -> None:
    dtypes = {spec.name: spec.dtype for spec in trainer.manifest.averaged}
    trainer.set_weights({name: before[name].astype(dtype) for name, dtype in dtypes.items()})
    trainer.reset_optimizer()
    close("the first step's loss, after set_weights,", trainer.train_step(batch, learning_rate).loss, loss, 1e-6)
