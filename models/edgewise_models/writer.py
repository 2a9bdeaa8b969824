"""From concrete functions to one proved model file: convert, un-share the weights, embed the manifest, prove, write.

Nothing that was not proved ever stands under the final name.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from edgewise_models.constants import refuse_stray
from edgewise_models.container import Container
from edgewise_models.conversion import convert
from edgewise_models.tensorflow import tf
from edgewise_wire.artifact import REQUIRED_SIGNATURES, Artifact, seal
from edgewise_wire.errors import ModelError, UnavailableError
from edgewise_wire.files import write_durably
from edgewise_wire.manifest import ENTRY, Manifest, TensorSpec, Variant, vocabulary_hash
from edgewise_wire.tflite_cost import flops, peak_bytes
from edgewise_wire.tflite_file import Signature, TfliteFile, parse
from edgewise_wire.weights import Array, Role, WeightSpec

Functions = Mapping[str, Any]
"""Concrete functions by the name of their signature; each takes named tensors and returns a dictionary of tensors."""

# What a process holds besides the file and its arenas: Python, NumPy and the runtime's library, measured on x86-64.
PROCESS_BYTES = 45 << 20
ARENA_FACTOR = 1.3  # each signature keeps an arena, and XNNPACK a workspace and packed right sides beside it


@dataclass(frozen=True, slots=True)
class Weight:
    """A variable of the model under the name by which clients know it."""

    name: str
    variable: Any
    role: Role = "trainable"

    @property
    def spec(self) -> WeightSpec:
        """Its name, shape, dtype and role."""
        return WeightSpec(self.name, tuple(self.variable.shape), self.variable.dtype.name, self.role)


@dataclass(frozen=True, slots=True)
class Facts:
    """What the manifest says and the file cannot: see `Manifest` for each."""

    task: str
    name: str
    batch: int
    steps: int
    inputs: tuple[str, ...]
    metrics: tuple[str, ...] = ()
    seed: bool = False
    tokenizer: str = ""
    vocabulary: tuple[str, ...] = ()
    variants: tuple[Variant, ...] = ()
    packs: bool = False


def write_artifact(
    path: str | Path,
    functions: Functions,
    weights: Sequence[Weight],
    facts: Facts,
    *,
    prove: Callable[[bytes], object],
    offsets: Sequence[Weight] = (),
) -> Artifact:
    """Build a model file, prove it, and only then let it stand under its name.

    Args:
        path: the file to write; an older one is replaced in one step, or stays as it is if anything fails.
        functions: `train`, `evaluate`, `infer` and any further signatures. `get_weights`, `set_weights` and, for
            models with slots, `get_slots` and `reset_optimizer` are added here.
        weights: every variable, in the order in which weights travel.
        facts: for the manifest.
        prove: is given the file's bytes and raises if they do not train as they must.
        offsets: see `build_artifact`.

    Raises:
        ModelError: if the graph needs operators that the plain runtimes lack, or the proof fails.
        UnavailableError: if the file cannot be written.
    """
    check_writable(Path(path))
    data = build_artifact(functions, weights, facts, offsets=offsets)
    prove(data)
    write_durably(Path(path), data)
    return Artifact.load(data)


def build_artifact(
    functions: Functions,
    weights: Sequence[Weight],
    facts: Facts,
    *,
    offsets: Sequence[Weight] = (),
    frozen: Sequence[Array] = (),
    allow_flex: bool = False,
) -> bytes:
    """Return the bytes of a model file that is complete but not proved. Raises as `write_artifact` does.

    `offsets` are variables of `train_corrected`, each under the name of its weight: `set_offset` is added for them.
    They begin as zeros, made only when a signature that uses them is called: who never does pays nothing for them.
    `frozen` are weights that do not train: constants of the graph that may be large.
    """
    _check_variables(functions, weights, offsets)
    further = {**_weight_functions(weights), **_offset_functions(offsets)}
    container = Container(
        convert({**functions, **further}, [w.variable for w in (*weights, *offsets)], allow_flex=allow_flex)
    )
    buffers = _own_buffers(container, weights)
    handles = {id(offset.variable.handle) for offset in offsets}
    users = [key for key, f in functions.items() if any(id(v.handle) in handles for v in f.graph.variables)]
    _zero_offsets(container, offsets, ["set_offset", *users])
    container.undo_squeezed_addends()
    container.drop_unused()
    graph = parse(container.pack())
    refuse_custom(graph, allow_flex=allow_flex)
    still = container.holding(frozen)
    manifest = _manifest(container, graph, [weight.spec for weight in weights], buffers, facts)
    container.add_metadata(ENTRY, replace(manifest, frozen=tuple(still)).to_json())
    data = seal(container.pack())
    refuse_stray(graph, [*buffers, *still], len(data))
    return data


def check_writable(path: Path) -> None:
    """Refuse at once what would fail after a minute of work.

    Raises:
        UnavailableError: if the folder of `path` is not there or may not be written to, or `path` is a folder.
    """
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise UnavailableError(
            f"{path}: cannot be written; name a file in a folder that is there and may be written to"
        )


def refuse_custom(file: TfliteFile, *, allow_flex: bool = False) -> None:
    """Check that the plain runtimes have every operator.

    Raises:
        ModelError: naming those that they lack.
    """
    custom = sorted({code.name for code in file.codes if code.custom and not (allow_flex and code.flex)})
    if custom:
        raise ModelError(f"operators that no plain runtime has: {', '.join(custom)}; write the layer without them")


def _check_variables(functions: Functions, weights: Sequence[Weight], offsets: Sequence[Weight]) -> None:
    """Refuse a variable that nobody declared: it would not travel, and the file would not hold its value."""
    names = [weight.name for weight in weights]
    if len(set(names)) != len(names):
        raise ModelError(f"two weights have the same name: {sorted(n for n in names if names.count(n) > 1)[0]!r}")
    known = {id(weight.variable.handle) for weight in (*weights, *offsets)}
    for signature, function in functions.items():
        for variable in function.graph.variables:
            if id(variable.handle) not in known:
                raise ModelError(f"signature {signature!r} uses the variable {variable.name!r}, which is no weight")


def _key(number: int) -> str:
    """Return a weight's name during conversion: TensorFlow takes only identifiers as names of arguments."""
    return f"w{number:05d}"


def _weight_functions(weights: Sequence[Weight]) -> dict[str, Any]:
    dummy = tf.TensorSpec((), tf.float32, name="dummy")  # Java refuses an empty map of inputs
    averaged = {_key(i): w.variable for i, w in enumerate(weights) if w.role != "slot"}
    slots = {_key(i): w.variable for i, w in enumerate(weights) if w.role == "slot"}
    specs = {key: tf.TensorSpec(v.shape, v.dtype, name=key) for key, v in averaged.items()}
    functions = {
        "get_weights": _reader(averaged).get_concrete_function(dummy=dummy),
        "set_weights": _setter(averaged).get_concrete_function(**specs),
    }
    if slots:
        functions["get_slots"] = _reader(slots).get_concrete_function(dummy=dummy)
        functions["reset_optimizer"] = _resetter(slots).get_concrete_function(dummy=dummy)
    return functions


def _offset_functions(offsets: Sequence[Weight]) -> dict[str, Any]:
    if not offsets:
        return {}
    variables = {_key(i): offset.variable for i, offset in enumerate(offsets)}
    specs = {key: tf.TensorSpec(v.shape, v.dtype, name=key) for key, v in variables.items()}
    return {"set_offset": _setter(variables).get_concrete_function(**specs)}


def _zero_offsets(container: Container, offsets: Sequence[Weight], users: Sequence[str]) -> None:
    variables = [container.variable_of_input("set_offset", _key(number)) for number in range(len(offsets))]
    if offsets:
        container.initialize_apart(variables, users)
        container.rename("set_offset", {_key(i): offset.name for i, offset in enumerate(offsets)})


def _reader(variables: Mapping[str, Any]) -> Any:
    def get(dummy: Any) -> dict[str, Any]:
        del dummy
        return {key: tf.identity(variable) for key, variable in variables.items()}

    return tf.function(get, autograph=False)


def _setter(variables: Mapping[str, Any]) -> Any:
    def assign(**values: Any) -> dict[str, Any]:
        for key, variable in variables.items():
            variable.assign(values[key])
        return {"ok": tf.constant(1)}

    return tf.function(assign, autograph=False)


def _resetter(variables: Mapping[str, Any]) -> Any:
    initial = {key: variable.numpy() for key, variable in variables.items()}

    def reset(dummy: Any) -> dict[str, Any]:
        zero = dummy * 0.0  # a runtime value, so that the converter does not fold the fill into a constant
        for key, variable in variables.items():
            value = initial[key]
            if value.size and (value == value.flat[0]).all():
                first = tf.cast(zero, variable.dtype) + tf.constant(value.flat[0], variable.dtype)
                variable.assign(tf.fill(variable.shape, first))
            else:
                variable.assign(tf.constant(value))
        return {"ok": tf.constant(1)}

    return tf.function(reset, autograph=False)


def _own_buffers(container: Container, weights: Sequence[Weight]) -> list[int]:
    """Give each averaged weight its own buffer, check that it holds the variable's value, and restore the names."""
    buffers: list[int] = []
    even: dict[str, Array] = {}
    for number, weight in enumerate(weights):
        signature = "get_slots" if weight.role == "slot" else "get_weights"
        variable = container.variable_of_output(signature, _key(number))
        buffers.append(container.initial_value(variable)[0] if weight.role == "slot" else container.make_own(variable))
        initial = np.ascontiguousarray(weight.variable.numpy())
        if container.initial_value(variable)[1] != initial.tobytes():
            raise ModelError(f"weight {weight.name!r}: the converted file does not hold its value")
        if weight.role == "slot" and initial.ndim and (initial == initial.flat[0]).all():
            even[variable] = initial
            buffers[-1] = 0
    for variable, initial in even.items():
        container.fill_instead(variable, initial)  # Adam's zeros would treble the file
    names = {_key(number): weight.name for number, weight in enumerate(weights)}
    for signature in ("get_weights", "set_weights", *(["get_slots"] if any(w.role == "slot" for w in weights) else [])):
        container.rename(signature, names)
    return buffers


def _manifest(
    container: Container, graph: TfliteFile, specs: Sequence[WeightSpec], buffers: Sequence[int], facts: Facts
) -> Manifest:
    train = graph.signatures["train"]
    return Manifest(
        task=facts.task,
        name=facts.name,
        weights=tuple(specs),
        buffers=tuple(buffers),
        batch=facts.batch,
        steps=facts.steps,
        inputs=tuple(_input(train, name) for name in facts.inputs),
        labels=_input(train, "labels"),
        weight=_input(train, "weight"),
        metrics=facts.metrics,
        operators=tuple(sorted({code.name for code in graph.codes})),
        min_runtime=container.metadata("min_runtime_version").rstrip(b"\0").decode() or "2.6.0",
        flops=flops(graph, train.subgraph),
        peak_memory=_peak_memory(graph, specs),
        seed=facts.seed,
        tokenizer=facts.tokenizer,
        vocabulary=facts.vocabulary,
        vocabulary_hash=vocabulary_hash(facts.vocabulary) if facts.vocabulary else "",
        variants=facts.variants,
        packs=facts.packs,
    )


def _peak_memory(graph: TfliteFile, specs: Sequence[WeightSpec]) -> int:
    """Return what a device holds that trains, evaluates, predicts and exchanges weights in one process."""
    used = (graph.signatures[name].subgraph for name in REQUIRED_SIGNATURES)
    arenas = sum(peak_bytes(graph, subgraph) for subgraph in used)
    variables = sum(spec.size * np.dtype(spec.dtype).itemsize for spec in specs)
    return PROCESS_BYTES + sum(span.size for span in graph.buffers) + variables + int(ARENA_FACTOR * arenas)


def _input(signature: Signature, name: str) -> TensorSpec:
    if name not in signature.inputs:
        raise ModelError(f"'train' has no input {name!r}; it has {', '.join(signature.inputs)}")
    tensor = signature.inputs[name]
    return TensorSpec(name, tensor.shape, tensor.dtype)
