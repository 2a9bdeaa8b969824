"""The proof: a model file trains as TensorFlow does, through the very trainer that devices run, before it is written.

What is compared with an independent reference: the initial weights, the loss of each step, the weights after the last
one (and how far each moved, so that a weight that stays still is noticed), the sums of `evaluate`, the suggestions of
`infer`, the corrected step. Then the weights are set back and the first step repeated, so `set_weights` is proved too.

Free of TensorFlow: what the reference made is kept as arrays, so that a runtime which needs another environment can be
asked there: `python -m edgewise_models.proof model.tflite expected.npz`.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from edgewise_edge.trainer import Batch, Trainer
from edgewise_models.vocabulary import MARKS
from edgewise_wire.errors import EdgewiseError, ModelError
from edgewise_wire.weights import Array, Weights

TOLERANCE = 1e-4  # on losses and weights: float32 against float64 over five steps
CHANGE_TOLERANCE = 1e-3  # on a weight's change, in parts of its largest change, beyond the rounding of its own value
ROUNDING = 2.0**-24  # of one float32 operation, in parts of its result
MARGIN = 1e-5  # two probabilities nearer than this may change places in float32
OTHER_PYTHON = "EDGEWISE_OTHER_PYTHON"
"""Interpreters (separated like PATH) of environments with a runtime that this one cannot hold; each proves the file."""


class Bounds(NamedTuple):
    """The least and the most that a sum may be: rounding may tip a rank where two words are almost equal."""

    least: float
    most: float


@dataclass(frozen=True, slots=True)
class Training:
    """What steps on some batches must yield: the loss of each, and the weights after the last."""

    batches: tuple[Batch, ...]
    losses: tuple[float, ...]
    after: Weights


@dataclass(frozen=True, slots=True)
class Corrected:
    """The same for `train_corrected`: `training` has two steps, the second with these offsets and `mu`."""

    training: Training
    offsets: Weights
    mu: float


@dataclass(frozen=True, slots=True)
class Expected:
    """What a reference says of a model.

    `sums` belong to the batches of `training`, at its last weights, as do `suggestions`: pairs of tokens int32[1, T]
    and the probabilities of all words after them, float64[V].
    """

    before: Weights
    learning_rate: float
    training: Training
    sums: tuple[Mapping[str, Bounds], ...]
    suggestions: tuple[tuple[Array, Array], ...]
    corrected: Corrected | None = None

    def to_bytes(self) -> bytes:
        """Return it as an `.npz` file; `from_bytes` undoes it exactly."""
        arrays: dict[str, Any] = {"learning_rate": self.learning_rate, **_prefixed("before", self.before)}
        arrays |= _training_arrays("training", self.training)
        for number, sums in enumerate(self.sums):
            arrays |= _prefixed(f"sums/{number}", sums)
        for number, (tokens, probabilities) in enumerate(self.suggestions):
            arrays |= {f"suggestions/{number}/tokens": tokens, f"suggestions/{number}/probabilities": probabilities}
        if self.corrected is not None:
            arrays |= _training_arrays("corrected", self.corrected.training)
            arrays |= {"mu": self.corrected.mu, **_prefixed("offsets", self.corrected.offsets)}
        out = io.BytesIO()
        np.savez(out, **arrays)
        return out.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> Expected:
        """Read what `to_bytes` wrote."""
        with np.load(io.BytesIO(data)) as file:
            arrays = {name: file[name] for name in file.files}
        sums = [{k: Bounds(*v.tolist()) for k, v in each.items()} for each in _numbered(arrays, "sums")]
        suggestions = [(each["tokens"], each["probabilities"]) for each in _numbered(arrays, "suggestions")]
        corrected = None
        if "mu" in arrays:
            corrected = Corrected(_training(arrays, "corrected"), _group(arrays, "offsets"), float(arrays["mu"]))
        return cls(
            _group(arrays, "before"),
            float(arrays["learning_rate"]),
            _training(arrays, "training"),
            tuple(sums),
            tuple(suggestions),
            corrected,
        )


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


def prove(data: bytes, expected: Expected, *, runtime: str | None = None, threads: int = 1) -> Proof:
    """Train, evaluate and predict with a model file; compare with what the reference made of the same.

    Raises:
        ModelError: saying what differs, by how much, and how much may.
    """
    trainer = Trainer(data, runtime=runtime, threads=threads)
    rate, training = expected.learning_rate, expected.training
    _compare_weights(trainer.get_weights(), expected.before, 0)
    loss = max(
        _compare_step(trainer, batch, rate, known)
        for batch, known in zip(training.batches, training.losses, strict=True)
    )
    weight, change = _compare_training(trainer, expected.before, training)
    for batch, sums in zip(training.batches, expected.sums, strict=True):
        _compare_sums(trainer.evaluate_step(batch), sums)
    for tokens, probabilities in expected.suggestions:
        _compare_suggestions(trainer.infer(tokens), probabilities)
    _set_back(trainer, expected.before)
    _compare_step(trainer, training.batches[0], rate, training.losses[0])
    if expected.corrected is not None:
        _set_back(trainer, expected.before)
        _prove_corrected(trainer, expected.before, expected.corrected, rate)
    return Proof(trainer.runtime, len(training.batches), loss, weight, change)


def prove_elsewhere(data: bytes, expected: Expected) -> list[Proof]:
    """Prove a model file in each environment that `EDGEWISE_OTHER_PYTHON` names.

    Raises:
        ModelError: if one of them does not train as the reference does, or cannot be asked.
    """
    pythons = [python for python in os.environ.get(OTHER_PYTHON, "").split(os.pathsep) if python]
    if not pythons:
        return []
    with tempfile.TemporaryDirectory() as folder:
        model, kept = Path(folder, "model.tflite"), Path(folder, "expected.npz")
        model.write_bytes(data)
        kept.write_bytes(expected.to_bytes())
        return [_ask(python, model, kept) for python in pythons]


def _ask(python: str, model: Path, kept: Path) -> Proof:
    command = [python, "-m", "edgewise_models.proof", str(model), str(kept)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    except OSError as error:
        raise ModelError(f"{OTHER_PYTHON}: {python} cannot be run: {error.strerror or error}") from error
    if done.returncode:
        raise ModelError(f"{python}: {(done.stderr.strip().splitlines() or ['no reason given'])[-1]}")
    runtime, steps, *figures = done.stdout.strip().split("\t")
    return Proof(runtime, int(steps), *(float(figure) for figure in figures))


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


def _compare_step(trainer: Trainer, batch: Batch, learning_rate: float, loss: float) -> float:
    got = trainer.train_step(batch, learning_rate)
    close("the sum of a batch's weights", got.weight_sum, float(batch["weight"].sum(dtype=np.float64)))
    return close("a step's loss", got.loss, loss)


def _compare_training(trainer: Trainer, before: Weights, training: Training) -> tuple[float, float]:
    """Compare weights and their changes; return the largest difference of each."""
    got, steps = trainer.get_weights(), len(training.batches)
    weight = _compare_weights(got, training.after, steps)
    changes = (_compare_change(name, got[name], before[name], array, steps) for name, array in training.after.items())
    return weight, max(changes)


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


def _compare_sums(got: Mapping[str, float], expected: Mapping[str, Bounds]) -> None:
    if set(got) != set(expected):
        raise ModelError(f"the proof failed: 'evaluate' returns {sorted(got)}, expected {sorted(expected)}")
    for name, (least, most) in expected.items():
        close(f"the sum {name!r}", got[name], min(max(got[name], least), most))


def _compare_suggestions(got: Any, probabilities: Array) -> None:
    best = np.sort(probabilities[MARKS:])[::-1]
    for rank, (token, probability) in enumerate(zip(got.ids.tolist(), got.probabilities.tolist(), strict=True)):
        if not MARKS <= token < len(probabilities):
            raise ModelError(f"the proof failed: 'infer' suggests the id {token}, which is no word")
        close(f"the probability of suggestion {rank}", probability, float(probabilities[token]))
        close(f"suggestion {rank}, id {token}, by probability", float(probabilities[token]), float(best[rank]), MARGIN)


def _prove_corrected(trainer: Trainer, before: Weights, corrected: Corrected, learning_rate: float) -> None:
    """Take a step with the offsets that the file begins with, then one with others and FedProx's `mu`."""
    first, second = corrected.training.batches
    losses = [trainer.train_corrected_step(first, learning_rate).loss]
    trainer.set_offset(corrected.offsets)
    losses.append(trainer.train_corrected_step(second, learning_rate, mu=corrected.mu).loss)
    for got, loss in zip(losses, corrected.training.losses, strict=True):
        close("the loss of a corrected step", got, loss)
    _compare_training(trainer, before, corrected.training)


def _set_back(trainer: Trainer, weights: Weights) -> None:
    trainer.set_weights({spec.name: weights[spec.name].astype(spec.dtype) for spec in trainer.manifest.averaged})
    trainer.reset_optimizer()


def _prefixed(prefix: str, arrays: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{prefix}/{name}": array for name, array in arrays.items()}


def _group(arrays: Mapping[str, Array], prefix: str) -> dict[str, Array]:
    return {name[len(prefix) + 1 :]: array for name, array in arrays.items() if name.startswith(f"{prefix}/")}


def _numbered(arrays: Mapping[str, Array], prefix: str) -> list[dict[str, Array]]:
    found: list[dict[str, Array]] = []
    while group := _group(arrays, f"{prefix}/{len(found)}"):
        found.append(group)
    return found


def _training_arrays(prefix: str, training: Training) -> dict[str, Any]:
    arrays: dict[str, Any] = {f"{prefix}/losses": np.array(training.losses)}
    for number, batch in enumerate(training.batches):
        arrays |= _prefixed(f"{prefix}/batch/{number}", batch)
    return arrays | _prefixed(f"{prefix}/after", training.after)


def _training(arrays: Mapping[str, Array], prefix: str) -> Training:
    batches, losses = _numbered(arrays, f"{prefix}/batch"), arrays[f"{prefix}/losses"].tolist()
    return Training(tuple(batches), tuple(losses), _group(arrays, f"{prefix}/after"))


def main(arguments: Sequence[str]) -> int:
    """Prove a model with the runtime of this environment; print one line."""
    model, expected = arguments
    try:
        proof = prove(Path(model).read_bytes(), Expected.from_bytes(Path(expected).read_bytes()))
    except EdgewiseError as error:
        print(error, file=sys.stderr)
        return error.exit_status
    print(f"{proof.runtime}\t{proof.steps}\t{proof.loss:.3g}\t{proof.weight:.3g}\t{proof.change:.3g}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
