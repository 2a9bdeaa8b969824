"""The trainer: a model file and one TFLite runtime, behind NumPy arrays.

Simulator, Pi and exporter all train through this class, so what is proved and simulated is what ships.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgewise_edge import runtime as runtimes
from edgewise_wire.artifact import Artifact
from edgewise_wire.errors import ConfigError, InputError, ModelError
from edgewise_wire.manifest import Manifest, TensorSpec
from edgewise_wire.weights import Array, Weights, check, dtype_name

Batch: TypeAlias = Mapping[str, Array]
"""The model's inputs, `labels` and `weight` by name, shaped and typed as the manifest says; weight 0 is padding."""


DUMMY = np.zeros((), np.float32)  # what signatures without inputs take: Java refuses an empty map


class StepResult(NamedTuple):
    """What one training step says: the weighted mean loss before the step, and the sum of the weights."""

    loss: float
    weight_sum: float


class Prediction(NamedTuple):
    """What `infer` says, best first: `ids` int32[k] and their `probabilities` float32[k]."""

    ids: NDArray[np.int32]
    probabilities: NDArray[np.float32]


class Trainer:
    """Trains, evaluates and predicts with one model file.

    The container and the manifest are checked before the runtime sees the file: offsets, indices, constant sizes,
    signatures. The options inside operators are checked by the runtime's own verifier only; a device should therefore
    load models whose hash it was told by a coordinator that it trusts.

    Args:
        source: the model file's path (the runtime maps it, which costs no copy) or its bytes.
        threads: threads for the kernels.
        runtime: `ai_edge_litert` or `tflite_runtime`; the best installed one if left out (see `runtime.find`).

    Raises:
        ModelError: if the file is no model of edgewise or the runtime refuses it.
        UnavailableError: if there is no runtime.

    Example:
        >>> trainer = Trainer("model.tflite", threads=2)                     # doctest: +SKIP
        >>> trainer.train_step(batch, learning_rate=0.5).loss                # doctest: +SKIP
        9.21
    """

    def __init__(self, source: str | Path | bytes, *, threads: int = 1, runtime: str | None = None) -> None:
        if threads < 1:
            raise ConfigError(f"threads: expected 1 or more, got {threads}")
        self._describe(Artifact.load(source))
        self._session = self._opened(source if isinstance(source, bytes) else str(source), threads, runtime)

    @property
    def runtime(self) -> str:
        """The runtime and its version."""
        return str(self._session.runtime)

    def _describe(self, artifact: Artifact) -> None:
        self.manifest: Manifest = artifact.manifest
        self.graph_hash: bytes = artifact.graph_hash
        self._signatures = artifact.signatures
        self._averaged = self.manifest.averaged
        self._taken = (*self.manifest.inputs, self.manifest.labels, self.manifest.weight)
        self._variants = sorted(self.manifest.variants, key=lambda variant: (variant.steps, variant.rows))

    @staticmethod
    def _opened(model: str | bytes, threads: int, runtime: str | None = None) -> runtimes.Session:
        return runtimes.Session(model, threads=threads, runtime=runtimes.find(runtime))

    def get_weights(self) -> Weights:
        """Return every averaged weight by name: copies, with the shapes and dtypes of `manifest.weights`."""
        return self._session.call("get_weights", {"dummy": DUMMY})

    def weight_views(self) -> Mapping[str, Array]:
        """Return every averaged weight by name: views, good until the trainer does anything else."""
        return Views(self._session.call_deferred("get_weights", {"dummy": DUMMY}))

    def set_weights(self, weights: Weights) -> None:
        """Set every averaged weight.

        Raises:
            InputError: if one is missing or has another shape or dtype; then none has changed.
        """
        check(weights, self.manifest.weights)
        inputs = {spec.name: np.asarray(weights[spec.name], order="C") for spec in self._averaged}
        self._session.call("set_weights", inputs)

    def train_step(self, batch: Batch, learning_rate: float, *, seed: int = 0) -> StepResult:
        """Take one optimizer step on a batch.

        Args:
            batch: see `Batch`. The step takes the shortest graph in the file that the batch's labels fit into.
            learning_rate: of this step.
            seed: of what is random in the model; not used where `manifest.seed` is false.

        Raises:
            InputError: if the batch lacks something or has another shape or dtype.
        """
        inputs = self._batch("train", batch)
        signature, inputs = self._shortest(inputs)
        return self._step(signature, inputs, learning_rate, seed)

    def train_corrected_step(self, batch: Batch, learning_rate: float, *, mu: float = 0.0, seed: int = 0) -> StepResult:
        """Take one step along `gradient + mu * weights + offset`, which FedProx, SCAFFOLD and FedDyn need.

        FedProx (Li et al. 2020, §3.2) is `mu` with `set_offset(-mu * round_weights)`. Offsets begin as zeros.

        Raises:
            ModelError: if the model was exported without `train_corrected`.
            InputError: as `train_step` does.
        """
        self._needs("train_corrected")
        inputs = self._batch("train_corrected", batch)
        return self._step("train_corrected", {**inputs, "mu": np.asarray(mu, np.float32)}, learning_rate, seed)

    def set_offset(self, offsets: Weights) -> None:
        """Set the offset of every trainable weight, by the weights' names, shapes and dtypes.

        Raises:
            ModelError: if the model was exported without `set_offset`.
            InputError: if one is missing or has another shape or dtype.
        """
        self._needs("set_offset")
        specs = [spec for spec in self.manifest.weights if spec.role == "trainable"]
        check(offsets, specs)
        self._session.call("set_offset", {spec.name: np.ascontiguousarray(offsets[spec.name]) for spec in specs})

    def evaluate_step(self, batch: Batch) -> dict[str, float]:
        """Return the batch's sums: `loss_sum`, `weight_sum` and one a metric.

        Raises:
            InputError: if the batch lacks something or has another shape or dtype.
        """
        found = self._session.call("evaluate", self._batch("evaluate", batch))
        return {name: float(value) for name, value in found.items()}

    @property
    def inference_inputs(self) -> list[TensorSpec]:
        """What `infer` takes; of a model with pre-processing other than what training takes."""
        return [TensorSpec(name, t.shape, t.dtype) for name, t in self._signatures["infer"].inputs.items()]

    def infer(self, *inputs: Array, **named: Array) -> Any:
        """Return what an app shows. A next-word model takes `tokens` int32[1, T] and returns a `Prediction`.

        Inputs are given by name, or in the manifest's order. Another model's outputs come as a dictionary.

        Raises:
            InputError: if an input is missing, not known, or has another shape or dtype.
        """
        given = dict(zip((spec.name for spec in self.manifest.inputs), inputs, strict=False)) | named
        found = self._session.call("infer", _checked("infer", given, self.inference_inputs))
        if set(found) == {"ids", "probabilities"}:
            return Prediction(found["ids"], found["probabilities"])
        return found

    def reset_optimizer(self) -> None:
        """Set the optimizer's slots back to their beginning, as each round must; without slots nothing happens."""
        if "reset_optimizer" in self._signatures:
            self._session.call("reset_optimizer", {"dummy": DUMMY})

    def _step(self, signature: str, inputs: dict[str, Array], learning_rate: float, seed: int) -> StepResult:
        inputs["learning_rate"] = np.asarray(learning_rate, np.float32)
        if self.manifest.seed:
            inputs["seed"] = np.asarray(seed & 0x7FFFFFFF, np.int32)
        found = self._session.call(signature, inputs)
        return StepResult(float(found["loss"]), float(found["weight_sum"]))

    def _needs(self, signature: str) -> None:
        if signature not in self._signatures:
            raise ModelError(
                f"the model {self.manifest.name!r} was exported without {signature!r}: export it again with it"
            )

    def _batch(self, signature: str, batch: Batch) -> dict[str, Array]:
        return _checked(signature, batch, self._taken)

    def _shortest(self, inputs: dict[str, Array]) -> tuple[str, dict[str, Array]]:
        """Return the cheapest `train` signature for these labels, and the inputs cut to its steps."""
        if not self._variants:
            return "train", inputs
        labelled = inputs[self.manifest.weight.name] != 0
        rows, columns = int(labelled.sum()), labelled.any(axis=0)
        steps = int(columns.nonzero()[0][-1]) + 1 if rows else 0
        for variant in self._variants:
            if rows <= variant.rows and steps <= variant.steps:
                return variant.signature, {name: array[:, : variant.steps] for name, array in inputs.items()}
        return "train", inputs


class Views(Mapping[str, Array]):
    """Arrays that are made when they are looked up, and not kept."""

    def __init__(self, makers: Mapping[str, Callable[[], Array]]) -> None:
        self._makers = makers

    def __getitem__(self, name: str) -> Array:
        return self._makers[name]()

    def __iter__(self) -> Iterator[str]:
        return iter(self._makers)

    def __len__(self) -> int:
        return len(self._makers)


def _checked(signature: str, given: Batch, specs: Iterable[TensorSpec]) -> dict[str, Array]:
    out: dict[str, Array] = {}
    for spec in specs:
        if spec.name not in given:
            raise InputError(f"input {spec.name!r} of {signature!r}: expected {spec}, but it is missing")
        array = np.asarray(given[spec.name])
        if array.shape != spec.shape or dtype_name(array.dtype) != spec.dtype:
            got = f"{array.dtype.name}[{', '.join(map(str, array.shape))}]"
            raise InputError(f"input {spec.name!r} of {signature!r}: expected {spec}, got {got}")
        out[spec.name] = array
    if len(given) != len(out):
        unknown = sorted(set(given) - set(out))
        raise InputError(f"input {unknown[0]!r} of {signature!r}: not known, expected {', '.join(out)}")
    return out
