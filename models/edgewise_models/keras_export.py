"""Any Keras model to one `.tflite` that trains in the plain runtimes: `export_trainable`."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgewise_edge import runtime as runtimes
from edgewise_edge.trainer import Batch
from edgewise_models.keras_reference import rehearsal_of
from edgewise_models.losses import resolve_loss
from edgewise_models.lowering.audit import refuse_unlowered
from edgewise_models.next_word import MARKS, TASK, TOKENIZER
from edgewise_models.plan import Plan, Settings, WeightsPer
from edgewise_models.rehearsal import Differences, Rehearsal, rehearse
from edgewise_models.source_model import source_model
from edgewise_models.writer import Facts, build_artifact, check_writable
from edgewise_wire.artifact import Artifact
from edgewise_wire.errors import ModelError, UnavailableError
from edgewise_wire.files import write_durably

OTHER_PYTHON = "EDGEWISE_OTHER_PYTHON"
"""Interpreters (separated like PATH) of environments with a runtime that this one cannot hold; each proves the file."""

FLEX_PRICE = (
    "on Android a library of 99 MB more, 29 MB in the APK (arm64-v8a, tensorflow-lite-select-tf-ops 2.14.0); the plain"
    " runtimes have none"
)
"""What the Flex delegate costs a device: the sizes of `libtensorflowlite_flex_jni.so` in its AAR on Maven Central."""


@dataclass(frozen=True, slots=True)
class Trainable:
    """A model file, what was proved about it, and the operators that Flex would run (none but with `allow_flex`)."""

    artifact: Artifact
    proofs: tuple[Differences, ...]
    rehearsal: Rehearsal
    flex: tuple[str, ...] = ()

    @property
    def price(self) -> str:
        """What `allow_flex` costs every device; empty if nothing needed it."""
        return f"{', '.join(self.flex)}: not proved, and need the Flex delegate: {FLEX_PRICE}" if self.flex else ""


def export_trainable(
    model: Any,
    loss: Any,
    *,
    optimizer: Any = "sgd",
    batch: int,
    path: str | Path,
    metrics: Sequence[Any] = (),
    inputs: Mapping[str, Any] | None = None,
    forward: Callable[..., Any] | None = None,
    weights_per: WeightsPer = "auto",
    preprocess: Callable[..., Any] | None = None,
    preprocess_inputs: Mapping[str, Any] | None = None,
    postprocess: Callable[..., Mapping[str, Any]] | None = None,
    words: Sequence[str] = (),
    samples: Sequence[Batch] = (),
    corrected: bool = True,
    name: str | None = None,
    task: str | None = None,
    allow_flex: bool = False,
) -> Trainable:
    """Write a model file that trains, evaluates and predicts on the device, proved before it is written.

    Args:
        model: a Keras 3 model that is built, or a `tf.Module` (then with `inputs`). Layers with `trainable = False`
            stay out of the update; what training changes besides (batch-norm statistics) travels as state.
        loss: a `keras.losses` object, its name, or a function of (labels, predictions) that returns one number per
            example or per position. Labels are int32 classes for a sparse cross-entropy, else float32 like the output.
        optimizer: a `keras.optimizers` object or its name; clipping and weight decay are the optimizer's own. Its
            learning rate is not used: `learning_rate` is an input of the training signature.
        batch: examples of a training batch.
        path: the file to write; an older one is replaced in one step, or stays as it is if anything fails.
        metrics: names, `keras.metrics` means or functions, for `evaluate`; `"top3"` counts labels among the three best.
        inputs: `tf.TensorSpec`s without the batch axis by name, where the model does not say them itself.
        forward: the forward function of a `tf.Module`, if it is not `__call__`; may take `training`.
        weights_per: whether `weight` has a number per example or per position; what the loss gives if left out.
        preprocess: maps the inputs of `infer` (`preprocess_inputs`, the model's own if left out) to the model's inputs.
        postprocess: maps the model's output to what `infer` returns, by name; `{"output": ...}` if left out. With a
            second argument it is given the model's inputs by name too.
        words: the vocabulary of a next-word model: its `tokens` are the ids of `edgewise_edge.tokenizer`, four marks
            and then these words. The manifest then carries them, and devices train on their texts.
        samples: batches of real data to prove with besides random ones.
        corrected: whether to add `train_corrected` and `set_offset`.
        name: what the manifest calls the model.
        task: what the manifest says it is for; `next-word` with `words`, else `keras`, if left out.
        allow_flex: let Flex run what has no built-in. Such a file needs the Flex delegate on every device.

    Raises:
        LoweringError: naming the layer, the operator and a way out, before anything is converted.
        ModelError: if the model cannot be exported, or a runtime does not train it as TensorFlow does.
        ConfigError: if a loss, metric or optimizer is not known.
        UnavailableError: if the file cannot be written or no runtime is installed.

    Example:
        >>> import keras
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, "relu"), keras.layers.Dense(2)])
        >>> loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        >>> export_trainable(model, loss, batch=8, path="/tmp/dense.tflite").proofs[0].steps    # doctest: +SKIP
        4
    """
    check_writable(Path(path))
    settings = Settings(
        batch, weights_per, corrected, allow_flex, preprocess, preprocess_inputs, postprocess, tuple(words)
    )  # fmt: skip
    plan = plan_of(model, loss, optimizer, metrics, settings, inputs=inputs, forward=forward)
    data, flex = build_trainable(plan, name=name, task=task)
    rehearsal = rehearsal_of(plan, optimizer, samples)
    proofs = () if flex else prove_everywhere(data, rehearsal)
    write_durably(Path(path), data)
    return Trainable(Artifact.load(data), proofs, rehearsal, flex)


def plan_of(
    model: Any,
    loss: Any,
    optimizer: Any,
    metrics: Sequence[Any],
    settings: Settings,
    *,
    inputs: Mapping[str, Any] | None = None,
    forward: Callable[..., Any] | None = None,
) -> Plan:
    """Return the signatures to be, traced and checked; see `export_trainable` for the arguments."""
    return Plan(source_model(model, inputs=inputs, forward=forward), resolve_loss(loss), optimizer, metrics, settings)


def build_trainable(plan: Plan, *, name: str | None = None, task: str | None = None) -> tuple[bytes, tuple[str, ...]]:
    """Return the bytes of a model file that is complete but not proved, and the operators that Flex would run."""
    facts = _facts(plan, name, task)
    functions = plan.functions()
    allow_flex = plan.settings.allow_flex
    flex = refuse_unlowered(functions, plan.source.layers, allow_flex=allow_flex)
    data = build_artifact(
        functions,
        plan.weights,
        facts,
        offsets=plan.offset_weights,
        frozen=[variable.numpy() for variable in plan.frozen],
        allow_flex=allow_flex,
    )
    return data, tuple(flex)


def _facts(plan: Plan, name: str | None, task: str | None) -> Facts:
    words = tuple(plan.settings.words)
    if words:
        _check_next_word(plan, len(words) + MARKS)
    return Facts(
        task=task or (TASK if words else "keras"),
        name=name or plan.source.name,
        batch=plan.settings.batch,
        steps=0 if len(plan.weight.shape) < 2 else int(plan.weight.shape[1]),
        inputs=tuple(plan.source.inputs),
        metrics=tuple(metric.name for metric in plan.metrics),
        seed=plan.random,
        tokenizer=TOKENIZER if words else "",
        vocabulary=words,
    )


def _check_next_word(plan: Plan, ids: int) -> None:
    """Refuse what a device could not fill with the ids of its texts."""
    inputs = [f"{spec.name} {spec.dtype.name}{list(spec.shape)}" for spec in plan.specs]
    steps = plan.specs[0].shape[-1]
    expected = [f"tokens int32[{plan.settings.batch}, {steps}]"]
    if inputs != expected:
        raise ModelError(f"words: a next-word model takes {expected[0]}, got {', '.join(inputs)}")
    if not plan.loss.sparse or len(plan.weight.shape) != 2 or plan.output.shape[-1] != ids:
        raise ModelError(
            f"words: {ids - MARKS} words and {MARKS} marks need scores [{plan.settings.batch}, {steps}, {ids}] and a"
            f" sparse cross-entropy with a weight for each position, got scores {list(plan.output.shape)} and the loss"
            f" {plan.loss.name!r} with weights {list(plan.weight.shape)}"
        )


def prove_everywhere(data: bytes, rehearsal: Rehearsal) -> tuple[Differences, ...]:
    """Rehearse with every runtime of this environment, and of those that `EDGEWISE_OTHER_PYTHON` names.

    Raises:
        ModelError: if one of them does not train as TensorFlow does.
        UnavailableError: if there is no runtime.
    """
    proofs = [rehearse(data, rehearsal, runtime=name) for name in runtimes.installed()]
    others = [python for python in os.environ.get(OTHER_PYTHON, "").split(os.pathsep) if python]
    proofs += [_rehearse_elsewhere(python, data, rehearsal) for python in others]
    if not proofs:
        raise UnavailableError("no TFLite runtime is installed to prove the model with: pip install ai-edge-litert")
    return tuple(proofs)


def _rehearse_elsewhere(python: str, data: bytes, rehearsal: Rehearsal) -> Differences:
    with tempfile.TemporaryDirectory() as folder:
        model, expected = Path(folder, "model.tflite"), Path(folder, "rehearsal.npz")
        model.write_bytes(data)
        expected.write_bytes(rehearsal.to_bytes())
        command = [python, "-m", "edgewise_models.rehearsal", str(model), str(expected)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no reason given"]
        raise ModelError(f"{python}: {lines[-1]}")
    runtime, steps, *figures = done.stdout.strip().splitlines()[-1].split("\t")
    return Differences(runtime, int(steps), *(float(figure) for figure in figures))
