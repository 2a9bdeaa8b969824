"""Back from trained weights to a plain inference `.tflite`: one signature, constant weights, optionally quantized."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from edgewise_edge import runtime as runtimes
from edgewise_models.keras_reference import random_inputs
from edgewise_models.plan import shown
from edgewise_models.source_model import SourceModel, source_model
from edgewise_models.tensorflow import quiet, tf
from edgewise_models.writer import check_writable
from edgewise_wire.artifact import Artifact
from edgewise_wire.errors import ConfigError, ModelError
from edgewise_wire.files import write_durably
from edgewise_wire.weights import Array, Weights, check

Precision = Literal["float32", "float16", "int8"]
SIGNATURE = "serving_default"

TOLERANCES: Mapping[str, float] = {"float32": 1e-4, "float16": 1e-2, "int8": 0.25}
"""The largest difference from TensorFlow that passes, in parts of the largest output."""


@dataclass(frozen=True, slots=True)
class Inference:
    """A file, and the largest difference of its outputs from TensorFlow's, in parts of the largest output."""

    data: bytes
    runtime: str
    difference: float


def export_inference(
    model: Any,
    path: str | Path,
    *,
    weights: Weights | str | Path | None = None,
    precision: Precision = "float32",
    samples: Sequence[Mapping[str, Array]] = (),
    inputs: Mapping[str, Any] | None = None,
    forward: Any = None,
    postprocess: Callable[..., Mapping[str, Any]] | None = None,
    batch: int = 1,
) -> Inference:
    """Write a model that only predicts, proved before it is written.

    Args:
        model: the Keras model or `tf.Module` that was exported; it is left as it was.
        path: the file to write.
        weights: trained weights by name, or a trained model file that holds them; the model's own if left out.
        precision: `float16` halves the file, `int8` quarters it.
        samples: inputs by name (a batch of `batch`) to prove with; `int8` takes its ranges from them and needs some.
        inputs: as `export_trainable` takes them.
        forward: as `export_trainable` takes it.
        postprocess: as `export_trainable` takes it; the file returns `output` if left out.
        batch: examples of one call.

    Raises:
        ConfigError: if `int8` is asked for without samples.
        InputError: if a weight is missing or has another shape.
        ModelError: if the file does not predict as TensorFlow does.
        UnavailableError: if it cannot be written.

    Example:
        >>> export_inference(model, "small.tflite", weights="trained.tflite", precision="float16")   # doctest: +SKIP
    """
    check_writable(Path(path))
    if precision == "int8" and not samples:
        raise ConfigError(
            "precision 'int8' takes its ranges from samples: pass samples=[{'x': ...}, ...], a hundred or so"
        )
    source = source_model(model, inputs=inputs, forward=forward)
    specs = source.specs(batch)
    with _holding(source, _trained(weights)):
        function = tf.function(lambda **given: shown(postprocess, _predict(source, given), given), autograph=False)
        concrete = function.get_concrete_function(**{spec.name: spec for spec in specs})
        data = _convert(concrete, precision, samples)
        proofs = [*samples[:4]] or [random_inputs(specs, source.integers, seed) for seed in range(4)]
        made = _prove(data, concrete, proofs, precision)
    write_durably(Path(path), data)
    return made


def _predict(source: SourceModel, given: Mapping[str, Any]) -> Any:
    return source.call([given[name] for name in source.inputs], False).output


def _trained(weights: Weights | str | Path | None) -> Weights | None:
    if weights is None or isinstance(weights, Mapping):
        return weights
    return Artifact.load(weights).weights()


@contextmanager
def _holding(source: SourceModel, weights: Weights | None) -> Iterator[None]:
    """Give the model these weights for a while."""
    variables = {**source.trainable, **source.state}
    before = {name: variable.numpy() for name, variable in variables.items()}
    try:
        if weights is not None:
            unknown = sorted(set(weights) - set(variables))
            if unknown:
                raise ModelError(
                    f"weight {unknown[0]!r} is not one of model {source.name!r}; is it another model's file?"
                )
            _check(source, weights)
            for name, array in weights.items():
                variables[name].assign(array)
        yield
    finally:
        for name, variable in variables.items():
            variable.assign(before[name])


def _check(source: SourceModel, weights: Weights) -> None:
    from edgewise_models.writer import Weight

    check(weights, [Weight(name, variable).spec for name, variable in source.trainable.items()])


def _convert(concrete: Any, precision: Precision, samples: Sequence[Mapping[str, Array]]) -> bytes:
    holder = tf.Module()
    holder.kept = [*concrete.graph.variables]  # a Keras model inside a tf.Module would be saved without its weights
    with tempfile.TemporaryDirectory() as folder, quiet():
        tf.saved_model.save(holder, folder, signatures={SIGNATURE: concrete})
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=[SIGNATURE])
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        if precision != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if precision == "float16":
            converter.target_spec.supported_types = [tf.float16]
        if precision == "int8":
            converter.representative_dataset = lambda: (dict(sample) for sample in samples)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                data: bytes = converter.convert()
        except Exception as error:  # the converter raises its own type, and ValueError, and RuntimeError
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise ModelError(f"TensorFlow's converter refuses the model: {reason}") from error
    return data


def _prove(data: bytes, concrete: Any, samples: Sequence[Mapping[str, Array]], precision: Precision) -> Inference:
    session = runtimes.Session(data, threads=1, runtime=runtimes.find())
    worst = 0.0
    for sample in samples:
        expected = concrete(**{name: tf.constant(array) for name, array in sample.items()})
        found = session.call(SIGNATURE, sample)
        worst = max([worst, *(_apart(found[name], value.numpy(), precision) for name, value in expected.items())])
    if not worst <= TOLERANCES[precision]:
        raise ModelError(
            f"the proof failed: at {precision} the outputs differ from TensorFlow's by {worst:.2g} of the largest"
            f" (within {TOLERANCES[precision]:g}); pass more samples, or a higher precision"
        )
    return Inference(data, str(session.runtime), worst)


def _apart(got: Array, expected: Array, precision: Precision) -> float:
    """Return the largest difference in parts of the largest number. Ranks may change places where precision is lost."""
    if got.dtype.kind != "f":
        return 0.0 if precision != "float32" or np.array_equal(got, expected) else float("inf")
    return float(np.abs(got - expected).max() / max(float(np.abs(expected).max()), 1e-6))
