"""A trained model file made into one that only predicts: what `edgewise export inference` does."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgewise_edge.next_word import rows
from edgewise_edge.tokenizer import START, WordTokenizer
from edgewise_models import cifg
from edgewise_models.factory import call_factory
from edgewise_models.inference import Inference, Precision, export_inference
from edgewise_models.next_word import MARKS, SUGGESTIONS, TASK, NextWord
from edgewise_models.tensorflow import tf
from edgewise_wire.artifact import Artifact
from edgewise_wire.errors import ConfigError, DataError
from edgewise_wire.manifest import Manifest
from edgewise_wire.weights import Array, Weights

SAMPLES_MAX = 200  # of a file: ranges settle long before


def export_trained(
    trained: str | Path,
    out: str | Path,
    *,
    factory: str | None = None,
    precision: Precision = "float32",
    samples: str | Path | None = None,
) -> Inference:
    """Write a file that predicts as a trained model does, proved before it is written.

    Args:
        trained: a model file, such as `edgewise models export` writes.
        out: the file to write.
        factory: the `module:factory` that it was exported from; not needed for `edgewise export next-word`'s.
        precision: as `export_inference` takes it.
        samples: inputs to prove with, from which `int8` takes its ranges: an `.npz` of arrays by the model's input
            names, a row an example; for a next-word model also a text file, a message a line.

    Raises:
        ConfigError: if the factory is needed, or `int8` has no samples.
        DataError: if the samples cannot be read.
        EdgewiseError: as `export_inference` does.
    """
    artifact = Artifact.load(trained)
    given = [] if samples is None else read_samples(Path(samples), artifact.manifest)
    arguments = _gboard(artifact) if factory is None else _authors(factory, artifact)
    return export_inference(path=out, weights=artifact.weights(), precision=precision, samples=given, **arguments)


def read_samples(path: Path, manifest: Manifest) -> list[dict[str, Array]]:
    """Return up to 200 examples of a file, each a batch of one by input name. Raises DataError."""
    if path.suffix != ".npz":
        arrays: Mapping[str, Array] = _messages(path, manifest)
    else:
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {spec.name: file[spec.name].astype(spec.dtype) for spec in manifest.inputs}
        except (OSError, ValueError, KeyError) as error:
            names = ", ".join(spec.name for spec in manifest.inputs)
            raise DataError(f"samples {path}: expected an .npz file with the arrays {names} ({error})") from error
    count = min(len(array) for array in arrays.values())
    if not count:
        raise DataError(f"samples {path}: expected one example or more, got none")
    return [{name: array[n : n + 1] for name, array in arrays.items()} for n in range(min(count, SAMPLES_MAX))]


def _messages(path: Path, manifest: Manifest) -> dict[str, Array]:
    if manifest.task != TASK:
        raise DataError(f"samples {path}: the model's task is {manifest.task!r}: expected an .npz file of its inputs")
    try:
        texts = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"samples {path}: expected a text file in UTF-8 ({error})") from error
    return {"tokens": rows(texts, WordTokenizer(manifest.vocabulary), steps=manifest.steps).tokens}


def _authors(factory: str, artifact: Artifact) -> dict[str, Any]:
    made = call_factory(factory, lambda: artifact.manifest.vocabulary)
    return {name: made[name] for name in ("model", "inputs", "forward", "postprocess") if name in made}


def _gboard(artifact: Artifact) -> dict[str, Any]:
    """Return Gboard's model as `export_inference` takes it."""
    weights = artifact.weights()
    shapes = {name: array.shape for name, array in weights.items()}
    expected = [spec.name for spec in NextWord().specs]
    if artifact.manifest.task != TASK or list(shapes) != expected:
        raise ConfigError(
            f"{artifact.manifest.name!r} was not made by `edgewise export next-word`: pass --model module:factory, the"
            " function that it was exported from"
        )
    return {
        "model": Scores(weights),
        "inputs": {"tokens": tf.TensorSpec((artifact.manifest.steps,), tf.int32)},
        "postprocess": _suggestions,
    }


class Scores(tf.Module):  # type: ignore[misc]
    """Gboard's model as it predicts: the scores of all ids after the last token."""

    def __init__(self, weights: Weights) -> None:
        super().__init__(name="next_word")
        self.embedding = tf.Variable(weights["embedding"])
        self.output_bias = tf.Variable(weights["output_bias"])
        self.lstm_kernel = tf.Variable(weights["lstm_kernel"])
        self.lstm_bias = tf.Variable(weights["lstm_bias"])
        self.projection = tf.Variable(weights["projection"])

    def __call__(self, tokens: Any) -> Any:
        """Return float32[1, V] for `tokens` int32[1, T]."""
        order = (self.embedding, self.output_bias, self.lstm_kernel, self.lstm_bias, self.projection)
        parameters = cifg.Parameters(*(variable.read_value() for variable in order))
        return cifg.scores(parameters, tokens, first=START)


def _suggestions(scores: Any) -> dict[str, Any]:
    best = tf.math.top_k(tf.nn.softmax(scores[0])[MARKS:], min(SUGGESTIONS, int(scores.shape[1]) - MARKS))
    return {"ids": best.indices + MARKS, "probabilities": best.values}
