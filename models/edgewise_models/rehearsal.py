"""A rehearsal: what TensorFlow made of a few steps, kept as arrays, and the check that a runtime makes the same of it.

Free of TensorFlow, so that a runtime which needs another environment can be asked there:
`python -m edgewise_models.rehearsal model.tflite rehearsal.npz [...]`.
"""

from __future__ import annotations

import io
import sys
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgewise_edge.trainer import Batch, Trainer
from edgewise_wire.errors import DataError, EdgewiseError, ModelError
from edgewise_wire.weights import Array, Weights

TOLERANCE = 2e-4  # on losses, sums, predictions and weights, in parts of the expected number where that is above 1
CHANGE_TOLERANCE = 1e-2  # on a weight's change in a step: the norm of the difference in parts of the change's norm
NEGLIGIBLE = 1e-2  # of the largest change of all weights: a bias before a normalization moves by rounding alone


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What is given and what must come out.

    `states` are the weights before the first step and after each. Every step begins from TensorFlow's weights: in a
    deep network an activation within rounding of a ReLU's kink falls either way, and over steps that would add up.
    `sure[name]` is 1 where an element's gradient was well above rounding in every step. An adaptive optimizer turns the
    sign of rounding into a whole step, so elsewhere only the size of the change is compared.
    """

    batches: tuple[Batch, ...]
    learning_rate: float
    states: tuple[Weights, ...]
    sure: Weights
    losses: tuple[float, ...]
    sums: tuple[Mapping[str, float], ...]
    infer_inputs: Mapping[str, Array]
    infer_outputs: Mapping[str, Array]

    @property
    def before(self) -> Weights:
        """The weights before the first step."""
        return self.states[0]

    @property
    def after(self) -> Weights:
        """The weights after the last step."""
        return self.states[-1]

    def to_bytes(self) -> bytes:
        """Return it as an `.npz` file; `from_bytes` undoes it exactly."""
        arrays: dict[str, Any] = {"learning_rate": self.learning_rate, "losses": np.array(self.losses)}
        for number, (batch, sums) in enumerate(zip(self.batches, self.sums, strict=True)):
            arrays |= {f"batch/{number}/{name}": array for name, array in batch.items()}
            arrays |= {f"sums/{number}/{name}": value for name, value in sums.items()}
        for number, state in enumerate(self.states):
            arrays |= {f"state/{number}/{name}": array for name, array in state.items()}
        for group in ("sure", "infer_inputs", "infer_outputs"):
            arrays |= {f"{group}/{name}": array for name, array in getattr(self, group).items()}
        out = io.BytesIO()
        np.savez(out, **arrays)
        return out.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> Rehearsal:
        """Read what `to_bytes` wrote.

        Raises:
            DataError: if it is something else.
        """
        try:
            with np.load(io.BytesIO(data)) as file:
                arrays = {name: file[name] for name in file.files}
            count = len(arrays["losses"])
            return cls(
                batches=tuple(_group(arrays, f"batch/{i}") for i in range(count)),
                learning_rate=float(arrays["learning_rate"]),
                states=tuple(_group(arrays, f"state/{i}") for i in range(count + 1)),
                sure=_group(arrays, "sure"),
                losses=tuple(arrays["losses"].tolist()),
                sums=tuple({k: float(v) for k, v in _group(arrays, f"sums/{i}").items()} for i in range(count)),
                infer_inputs=_group(arrays, "infer_inputs"),
                infer_outputs=_group(arrays, "infer_outputs"),
            )
        except (ValueError, KeyError, OSError, zipfile.BadZipFile) as error:
            raise DataError(f"rehearsal: not an .npz file of edgewise ({error})") from error


@dataclass(frozen=True, slots=True)
class Differences:
    """The largest differences met, each within its tolerance; `change` is in parts of the largest change."""

    runtime: str
    steps: int
    loss: float
    weight: float
    change: float


def rehearse(model: str | Path | bytes, expected: Rehearsal, *, runtime: str | None = None) -> Differences:
    """Train, evaluate and predict with a runtime; compare with what TensorFlow made of the same.

    Raises:
        ModelError: saying what differs, by how much, and how much may.
    """
    trainer = Trainer(model, runtime=runtime)
    _compare_weights(trainer.get_weights(), expected.before, "before the first step")
    losses, weights, changes = zip(
        *(_compare_step(trainer, expected, number) for number in range(len(expected.batches))), strict=True
    )
    trainer.set_weights(_float32(expected.after))
    for batch, sums in zip(expected.batches, expected.sums, strict=True):
        _compare_sums(trainer.evaluate_step(batch), sums)
    _compare_outputs(trainer.infer(**expected.infer_inputs), expected.infer_outputs)
    _check_start_over(trainer, expected)
    return Differences(trainer.runtime, len(losses), max(losses), max(weights), max(changes))


def _compare_step(trainer: Trainer, expected: Rehearsal, number: int) -> tuple[float, float, float]:
    """Take a step from TensorFlow's weights; return how far the loss, the weights and their change are apart."""
    batch = expected.batches[number]
    if number:
        trainer.set_weights(_float32(expected.states[number]))
    got = trainer.train_step(batch, expected.learning_rate, seed=number)
    _close(f"the sum of weights of batch {number}", got.weight_sum, float(batch["weight"].sum()))
    loss = _close(f"the loss of step {number}", got.loss, expected.losses[number])
    return loss, *_compare_changes(trainer.get_weights(), expected, number)


def _float32(weights: Weights) -> dict[str, Array]:
    return {name: np.asarray(array, np.float32) for name, array in weights.items()}


def _close(what: str, got: Any, expected: Any, tolerance: float = TOLERANCE) -> float:
    """Return the largest difference. Raises ModelError if it is above the tolerance or no number."""
    got, expected = np.asarray(got, np.float64), np.asarray(expected, np.float64)
    if got.shape != expected.shape:
        raise ModelError(f"the proof failed: {what} has shape {got.shape}, TensorFlow's has {expected.shape}")
    apart = np.abs(got - expected) / np.maximum(1.0, np.abs(expected))
    at = int(np.argmax(np.where(np.isnan(apart), np.inf, apart))) if apart.size else 0
    worst = float(apart.flat[at]) if apart.size else 0.0
    if not worst <= tolerance:
        raise ModelError(
            f"the proof failed: {what} is {got.flat[at]:.7g}, TensorFlow says {expected.flat[at]:.7g}"
            f" (within {tolerance:g})"
        )
    return worst


def _compare_weights(got: Weights, expected: Weights, when: str) -> None:
    if set(got) != set(expected):
        raise ModelError(f"the proof failed: the file has the weights {sorted(got)}, expected {sorted(expected)}")
    for name, array in expected.items():
        _close(f"weight {name!r} {when}", got[name], array)


def _compare_changes(got: Weights, expected: Rehearsal, number: int) -> tuple[float, float]:
    start, end = expected.states[number], expected.states[number + 1]
    moved = {name: float(np.abs(end[name] - array).max()) for name, array in start.items()}
    most = max(moved.values())
    weight = change = 0.0
    for name, array in end.items():
        sure = expected.sure[name].astype(bool)
        if not np.isfinite(got[name]).all():
            raise ModelError(f"the proof failed: weight {name!r} is not finite after step {number}")
        if not float(np.abs(got[name] - start[name]).max()) <= 2 * most + 1e-6:
            raise ModelError(f"the proof failed: weight {name!r} moved further than any weight does in TensorFlow")
        if sure.any():
            weight = max(weight, _close(f"weight {name!r} after step {number}", got[name][sure], array[sure]))
            # Each of the two was rounded where it is kept, so a change that is less than that cannot be told from none.
            rounding = float(np.linalg.norm(np.spacing(np.abs(array[sure]).astype(np.float32))))
            apart = max(0.0, float(np.linalg.norm((got[name] - array)[sure])) - rounding)
            least = max(NEGLIGIBLE * most, 1e-9) * np.sqrt(np.count_nonzero(sure))
            scale = max(float(np.linalg.norm((array - start[name])[sure])), float(least))
            what = f"the change of weight {name!r} in step {number}, less TensorFlow's, in parts of it,"
            change = max(change, _close(what, apart / scale, 0, CHANGE_TOLERANCE))
    return weight, change


def _compare_sums(got: Mapping[str, float], expected: Mapping[str, float]) -> None:
    if set(got) != set(expected):
        raise ModelError(f"the proof failed: 'evaluate' returns {sorted(got)}, expected {sorted(expected)}")
    for name, value in expected.items():
        _close(f"the sum {name!r}", got[name], value, 5 * TOLERANCE)


def _compare_outputs(got: Any, expected: Mapping[str, Array]) -> None:
    outputs = got._asdict() if hasattr(got, "_asdict") else got
    for name, array in expected.items():
        _close(f"the output {name!r} of 'infer'", outputs[name], array, 5 * TOLERANCE)


def _check_start_over(trainer: Trainer, expected: Rehearsal) -> None:
    """Set the weights back and repeat the first step: `set_weights` and `reset_optimizer` are proved too."""
    trainer.set_weights({name: array.astype(np.float32) for name, array in expected.before.items()})
    trainer.reset_optimizer()
    for number in range(min(2, len(expected.batches))):
        _compare_step(trainer, expected, number)


def _group(arrays: Mapping[str, Array], prefix: str) -> dict[str, Array]:
    return {name[len(prefix) + 1 :]: array for name, array in arrays.items() if name.startswith(f"{prefix}/")}


def main(arguments: Sequence[str]) -> int:
    """Run rehearsals (pairs of model and rehearsal) with the runtime of this environment; print a line each."""
    status = 0
    for model, rehearsal in zip(arguments[::2], arguments[1::2], strict=True):
        try:
            found = rehearse(model, Rehearsal.from_bytes(Path(rehearsal).read_bytes()))
        except EdgewiseError as error:
            print(f"{model}: {error}", file=sys.stderr)
            status = error.exit_status
        else:
            print(f"{found.runtime}\t{found.steps}\t{found.loss:.3g}\t{found.weight:.3g}\t{found.change:.3g}")
    return status


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
