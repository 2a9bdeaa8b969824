"""Local training and evaluation: what one device does with a round's weights (McMahan et al. 2017, algorithm 1).

Both are generators that yield after every batch, so whoever drives them decides between any two batches whether to go
on; the simulator drives them to the end. Nothing here knows a task: `Examples` hands out batches.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from edgewise_edge.correction import Correction
from edgewise_edge.progress import Step
from edgewise_edge.starting_point import StartingPoint
from edgewise_wire.errors import RunError
from edgewise_wire.manifest import Manifest
from edgewise_wire.weights import Array, Flat, Weights, unflatten

Batch: TypeAlias = Mapping[str, Array]
"""One batch by the graph's input names: model inputs, `labels`, `weight` (0 for padding)."""
Order: TypeAlias = NDArray[np.int64]
"""Numbers of examples, in the order in which they are used."""


class Examples(Protocol):
    """What a task gives to train on: numbered examples that can be made into batches of the graph's shape."""

    @property
    def batch(self) -> int:
        """The rows of a batch."""

    def __len__(self) -> int:
        """Return how many examples there are."""

    def count(self, order: Order) -> int:
        """Return how many batches `batches` makes of the examples with these numbers in this order."""

    def batches(self, order: Order) -> Iterator[Batch]:
        """Yield the examples with these numbers as batches: each once, and the batches a function of the order."""


class StepLike(Protocol):
    """What one training step says."""

    @property
    def loss(self) -> float:
        """The weighted mean loss of the batch, before the step."""

    @property
    def weight_sum(self) -> float:
        """The sum of the batch's weights."""


class TrainerLike(Protocol):
    """The part of `edgewise_edge.trainer.Trainer` that local training needs."""

    @property
    def manifest(self) -> Manifest:
        """What the artifact says about itself."""

    def weight_views(self) -> Weights:
        """Return every weight by name, good until the trainer does anything else."""

    def set_weights(self, weights: Weights) -> None:
        """Set every weight."""

    def train_step(self, batch: Batch, learning_rate: float, *, seed: int = 0) -> StepLike:
        """Take one step of gradient descent; `seed` drives what is random in the model."""

    def train_corrected_step(self, batch: Batch, learning_rate: float, *, mu: float = 0.0, seed: int = 0) -> StepLike:
        """Take one step along gradient + mu · weights + offset."""

    def set_offset(self, offsets: Weights) -> None:
        """Set the offset of every trainable weight."""

    def evaluate_step(self, batch: Batch) -> Mapping[str, float]:
        """Return the sums over one batch, by metric."""

    def reset_optimizer(self) -> None:
        """Forget what an optimizer remembers of earlier rounds."""


@dataclass(frozen=True, slots=True)
class LocalUpdate:
    """What local training yields.

    Attributes:
        update: float32[parameters], local weights minus the round's; with SCAFFOLD Δc follows, as long again.
        examples: how many different examples were used; the update's weight in the average.
        loss: the weighted mean training loss over the last epoch.
        steps: optimizer steps taken.
        norm: the L2 norm of the change of the weights, to float32's precision.
        control: with SCAFFOLD the device's own variate from now on, float32[parameters]; it stays on the device.
    """

    update: Flat
    examples: int
    loss: float
    steps: int
    norm: float
    control: Flat | None = None


@dataclass(frozen=True, slots=True)
class LocalSums:
    """What local evaluation yields: sums by metric, and over how many examples."""

    sums: Mapping[str, float]
    examples: int


class ArrayExamples:
    """Examples that stand in arrays, one row each; the last batch is filled up with rows of zeros, weight included.

    Args:
        arrays: by input name, all of the same number of rows; `weight` among them.
        batch: B, the rows of a batch.

    Example:
        >>> examples = ArrayExamples({"labels": np.array([7, 8, 9]), "weight": np.ones(3, "f4")}, batch=2)
        >>> [batch["labels"].tolist() for batch in examples.batches(np.array([2, 1, 0]))]
        [[9, 8], [7, 0]]
    """

    def __init__(self, arrays: Mapping[str, Array], batch: int) -> None:
        self._arrays = dict(arrays)
        self._batch = batch

    @property
    def batch(self) -> int:
        """The rows of a batch."""
        return self._batch

    def __len__(self) -> int:
        return len(next(iter(self._arrays.values()), ()))

    def count(self, order: Order) -> int:
        """Return the number of batches."""
        return -(-len(order) // self._batch)

    def batches(self, order: Order) -> Iterator[Batch]:
        """Yield the rows with these numbers."""
        for at in range(0, len(order), self._batch):
            numbers = order[at : at + self._batch]
            yield {name: self._rows(array, numbers) for name, array in self._arrays.items()}

    def _rows(self, array: Array, numbers: Order) -> Array:
        if len(numbers) == self._batch:
            return array.take(numbers, axis=0)
        out = np.zeros((self._batch, *array.shape[1:]), array.dtype)
        np.take(array, numbers, axis=0, out=out[: len(numbers)])
        return out


@lru_cache(maxsize=4096)
def name_words(device: str) -> NDArray[np.uint32]:
    """Return a device's share of its generator's entropy, uint32[8]: the SHA-256 of its name."""
    return np.frombuffer(hashlib.sha256(device.encode()).digest(), "<u4").astype(np.uint32)


def device_generator(seed: int, round_number: int, device: str) -> np.random.Generator:
    """Return the generator of one device in one round: a function of (seed, round, device) and nothing else.

    Example:
        >>> int(device_generator(1, 2, "pi-7").integers(1000)) == int(device_generator(1, 2, "pi-7").integers(1000))
        True
    """
    words = [seed & 0xFFFFFFFF, seed >> 32, round_number & 0xFFFFFFFF, round_number >> 32]
    # An array is the same entropy as a list of its words, in half the time.
    return np.random.default_rng(np.concatenate([np.array(words, np.uint32), name_words(device)]))


def train_locally(
    trainer: TrainerLike,
    weights: Flat | StartingPoint,
    examples: Examples,
    *,
    epochs: int,
    learning_rate: float,
    max_examples: int,
    rng: np.random.Generator,
    correction: Correction | None = None,
) -> Generator[Step, None, LocalUpdate]:
    """Train from `weights` on a device's own examples, a batch between any two yields.

    Args:
        trainer: the model; its weights are overwritten.
        weights: the round's weights, float32[parameters]; read at the beginning and at the end, never written. As a
            `StartingPoint` they can be shared by many devices, and the update can stand where the caller wants it.
        examples: the device's examples.
        epochs: passes over the chosen examples, each in an order of its own.
        learning_rate: of every step.
        max_examples: a random sample of at most so many is used, 0 for all.
        rng: drives sample and order; see `device_generator`.
        correction: what is added to each gradient; without one plain `train` is used.

    Returns:
        The update, by way of `StopIteration.value`; `run_to_end` gives it.

    Raises:
        RunError: if the loss or the update is not finite.
        ModelError: if a correction is asked for and the model was exported without `train_corrected`.

    Example:
        >>> update = run_to_end(train_locally(trainer, weights, examples, epochs=1, learning_rate=0.5, max_examples=0,
        ...                                   rng=device_generator(seed, round_number, device)))  # doctest: +SKIP
    """
    specs = trainer.manifest.weights
    start = weights if isinstance(weights, StartingPoint) else StartingPoint(weights, specs)
    trainer.set_weights(start.named)
    trainer.reset_optimizer()
    if correction is not None:
        trainer.set_offset(correction.offset(start.weights, specs))
    chosen = rng.permutation(_numbers(len(examples)))[: max_examples or None]
    steps, loss = 0, 0.0
    for epoch in range(epochs):
        order = chosen if epoch == 0 else rng.permutation(chosen)
        total = steps + examples.count(order) * (epochs - epoch)  # another order may take a batch more or less
        loss_sum = weight_sum = 0.0
        for batch in examples.batches(order):
            seed = int(rng.integers(1 << 31))
            if correction is None:
                step = trainer.train_step(batch, learning_rate, seed=seed)
            else:
                step = trainer.train_corrected_step(batch, learning_rate, mu=correction.mu, seed=seed)
            steps += 1
            _check_loss(step.loss, steps, learning_rate)
            loss_sum += step.loss * step.weight_sum
            weight_sum += step.weight_sum
            loss = loss_sum / weight_sum if weight_sum else 0.0
            yield Step(steps, total, loss)
    update, norm = start.difference(trainer.weight_views())
    found = LocalUpdate(update, len(chosen), loss, steps, norm)
    if correction is None or correction.server is None:
        return found
    change = correction.change(found.update, specs, steps, learning_rate)
    control = change if correction.own is None else correction.own + change
    return replace(found, update=np.concatenate([found.update, change]), control=control)


def evaluate_locally(
    trainer: TrainerLike, weights: Flat, examples: Examples, *, max_examples: int = 0
) -> Generator[Step, None, LocalSums]:
    """Evaluate `weights` on the first `max_examples` (0 = all) of a device's examples, a batch between any two yields.

    Raises:
        RunError: if a sum is not finite.
    """
    trainer.set_weights(unflatten(weights, trainer.manifest.weights))
    count = min(len(examples), max_examples or len(examples))
    sums: dict[str, float] = {}
    order = np.arange(count)
    total = examples.count(order)
    for done, batch in enumerate(examples.batches(order), start=1):
        for name, value in trainer.evaluate_step(batch).items():
            sums[name] = sums.get(name, 0.0) + value
        yield Step(done, total, 0.0)
    for name, value in sums.items():
        if not math.isfinite(value):
            finite = np.isfinite(weights).all()
            why = "finite: look at the examples, or at the learning rate" if finite else "of no use"
            raise RunError(f"evaluation: the sum {name!r} is {value}; the round's weights are {why}")
    return LocalSums(sums, count)


Result = TypeVar("Result")


def run_to_end(work: Generator[Step, None, Result], between: Callable[[], None] | None = None) -> Result:
    """Drive local training or evaluation to its end and return what it yields there; `between` is called each batch."""
    while True:
        try:
            next(work)
            if between is not None:
                between()
        except StopIteration as end:
            result: Result = end.value
            return result


@lru_cache(maxsize=64)
def _numbers(count: int) -> Order:
    """Return the numbers of so many examples, to be read only: many devices of a simulation have as many."""
    numbers = np.arange(count)
    numbers.flags.writeable = False
    return numbers


def _check_loss(loss: float, step: int, learning_rate: float) -> None:
    if not math.isfinite(loss):
        raise RunError(f"training diverged: the loss of step {step} is {loss} at learning rate {learning_rate:g}")
