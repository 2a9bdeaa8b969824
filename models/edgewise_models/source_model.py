"""What an author hands over — a Keras 3 model or a `tf.Module` — seen as one thing: inputs, variables, a forward pass.

A Keras 3 model inside a `tf.Module` exports without its weights, silently. So the variables are taken out here, one by
one, and everything later speaks of variables only.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import keras

from edgewise_models.tensorflow import tf
from edgewise_wire.errors import ModelError

RESERVED = ("labels", "weight", "learning_rate", "seed", "mu", "dummy")


class Forward(NamedTuple):
    """One forward pass: the model's output and the sum of its regularization losses (0 without any)."""

    output: Any
    penalty: Any


@dataclass(frozen=True, slots=True)
class SourceModel:
    """An author's model.

    `inputs` are specs without the batch axis, by name. `trainable` and `state` are `tf.Variable`s by the name under
    which they travel; `state` are those that do not train (which of them an update changes is found out by tracing).
    `layers` are names to look for in an operator's path. Integer inputs stay below `integers`.
    """

    name: str
    inputs: Mapping[str, Any]
    trainable: Mapping[str, Any]
    state: Mapping[str, Any]
    optimized: Sequence[Any]
    layers: Sequence[str]
    integers: int
    call: Callable[[Sequence[Any], bool], Forward]

    def specs(self, batch: int) -> list[Any]:
        """Return the inputs' specs for a batch of so many."""
        return [tf.TensorSpec([batch, *spec.shape], spec.dtype, name=name) for name, spec in self.inputs.items()]


def source_model(model: Any, *, inputs: Mapping[str, Any] | None = None, forward: Any = None) -> SourceModel:
    """Return the author's model as a `SourceModel`.

    Args:
        model: a Keras model that is built, or a `tf.Module`.
        inputs: `tf.TensorSpec`s without the batch axis by name; needed for a `tf.Module` and a subclassed model.
        forward: the `tf.Module`'s forward function; `model.__call__` if left out.

    Raises:
        ModelError: if the model has no weights, several outputs, or inputs that cannot be named.
    """
    made = _from_keras(model, inputs) if isinstance(model, keras.Model) else _from_module(model, inputs, forward)
    if not made.trainable:
        raise ModelError(f"model {made.name!r}: expected weights that train, got none; build it, or unfreeze a layer")
    for name, variable in made.trainable.items():
        if variable.dtype != tf.float32:
            raise ModelError(
                f"weight {name!r}: expected float32, got {variable.dtype.name}; export without mixed precision"
            )
    return made


def _from_keras(model: Any, inputs: Mapping[str, Any] | None) -> SourceModel:
    if not model.built:
        raise ModelError(f"model {model.name!r} is not built; call it once on data, or give it an Input")
    symbolic = list(getattr(model, "inputs", None) or [])
    if inputs is None and not symbolic:
        raise ModelError(f"model {model.name!r} does not say its inputs; pass inputs={{'x': tf.TensorSpec((...))}}")
    if len(getattr(model, "outputs", None) or [None]) != 1:
        raise ModelError(f"model {model.name!r}: expected one output, got {len(model.outputs)}; export one head")
    specs = dict(inputs) if inputs is not None else _keras_inputs(symbolic)
    structure = getattr(model, "_inputs_struct", None)

    def call(values: Sequence[Any], training: bool) -> Forward:
        packed = _packed(structure, specs, values)
        model._clear_losses()
        output = model(packed, training=training)
        losses = model.losses
        return Forward(output, tf.add_n([tf.cast(loss, tf.float32) for loss in losses]) if losses else tf.constant(0.0))

    return SourceModel(
        model.name,
        _checked_inputs(specs),
        _keras_variables(model.trainable_variables, model.name),
        _keras_variables([v for v in model.non_trainable_variables if "float" in str(v.dtype)], model.name),
        list(model.trainable_variables),
        [layer.name for layer in model._flatten_layers()],
        min(
            (layer.input_dim for layer in model._flatten_layers() if isinstance(layer, keras.layers.Embedding)),
            default=2,
        ),
        call,
    )


def _keras_inputs(symbolic: Sequence[Any]) -> dict[str, Any]:
    specs = {}
    for number, tensor in enumerate(symbolic):
        anonymous = tensor.name.startswith("keras_tensor")
        default = "inputs" if len(symbolic) == 1 else f"inputs_{number}"
        if None in tensor.shape[1:]:
            raise ModelError(
                f"input {tensor.name!r}: expected a fixed shape after the batch, got {tuple(tensor.shape)}; give the"
                " Input its sizes"
            )
        specs[default if anonymous else tensor.name] = tf.TensorSpec(tensor.shape[1:], tensor.dtype)
    return specs


def _packed(structure: Any, specs: Mapping[str, Any], values: Sequence[Any]) -> Any:
    if structure is not None:
        return keras.tree.pack_sequence_as(structure, list(values))
    return values[0] if len(specs) == 1 else dict(zip(specs, values, strict=True))


def _keras_variables(variables: Sequence[Any], model: str) -> dict[str, Any]:
    paths = [variable.path for variable in variables]
    if all(path.startswith(f"{model}/") for path in paths):
        paths = [path[len(model) + 1 :] for path in paths]
    return dict(zip(distinct(paths), (variable.value for variable in variables), strict=True))


def distinct(names: Sequence[str]) -> list[str]:
    """Number the names that come twice: subclassed models may give two layers one path."""
    seen: dict[str, int] = {}
    out = []
    for name in names:
        seen[name] = seen.get(name, -1) + 1
        out.append(f"{name}_{seen[name]}" if seen[name] else name)
    return out


def _from_module(module: Any, inputs: Mapping[str, Any] | None, forward: Any) -> SourceModel:
    function = forward or module
    if not callable(function) or inputs is None:
        raise ModelError(
            f"{type(module).__name__}: expected a Keras model, or a tf.Module with inputs={{...}} and forward=..."
        )
    takes_training = "training" in inspect.signature(function).parameters

    def call(values: Sequence[Any], training: bool) -> Forward:
        output = function(*values, training=training) if takes_training else function(*values)
        return Forward(output, tf.constant(0.0))

    named: dict[str, Any] = {}
    for path, variable in module._flatten(with_path=True, predicate=lambda leaf: isinstance(leaf, tf.Variable)):
        if not any(variable is other for other in named.values()):
            named["/".join(str(part) for part in path)] = variable
    return SourceModel(
        getattr(module, "name", type(module).__name__),
        _checked_inputs(inputs),
        {name: v for name, v in named.items() if v.trainable},
        {name: v for name, v in named.items() if not v.trainable and v.dtype.is_floating},
        [v for v in named.values() if v.trainable],
        [name.split("/")[0] for name in named],
        2,
        call,
    )


def _checked_inputs(specs: Mapping[str, Any]) -> dict[str, Any]:
    out = {}
    for name, spec in specs.items():
        clean = re.sub(r"\W", "_", name)
        if clean in RESERVED:
            raise ModelError(f"input {name!r}: the name belongs to the training signature; rename the Input")
        if tf.as_dtype(spec.dtype) == tf.string:
            raise ModelError(f"input {name!r}: text cannot be trained on; look words up before the model")
        out[clean] = spec
    return out
