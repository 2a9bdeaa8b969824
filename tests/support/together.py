"""Many rows of the export matrix in one model, so that one conversion proves them all.

Each row keeps weights of its own, which the proof compares one by one: what is wrong in a row shows in its weights.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import layers, ops

from edgewise_models.losses import resolve_loss
from edgewise_models.matrix import CASES, Case, Training


def groups(*families: str, size: int = 10) -> list[tuple[str, list[Case]]]:
    """Return the cases of these families in groups for `combined`."""
    found = []
    for family in families:
        cases = [case for case in CASES if case.family == family]
        for start in range(0, len(cases), size):
            found.append((f"{family} {start // size + 1}", cases[start : start + size]))
    return found


def combined(cases: Sequence[Case]) -> Any:
    """Return one model with every case as a branch; its output is their mean, so that no step is too large for one."""
    inputs: dict[Any, Any] = {}
    outputs = []
    for case in cases:
        model = case.build()
        given = []
        for number, spec in enumerate(model.inputs):
            key = (tuple(spec.shape[1:]), spec.dtype, number)
            if key not in inputs:
                inputs[key] = keras.Input(key[0], dtype=spec.dtype, name=f"x{len(inputs)}")
            given.append(inputs[key])
        outputs.append(model(given if len(given) > 1 else given[0]))
    return keras.Model(list(inputs.values()), layers.Average()(outputs) if len(outputs) > 1 else outputs[0])


def side_by_side(trainings: Sequence[Training]) -> Any:
    """Return one model with the last layer of each, its outputs one after another along the last axis, flattened."""
    inputs: dict[Any, Any] = {}
    outputs = []
    for number, training in enumerate(trainings):
        model = training.build()
        shape = tuple(model.inputs[0].shape[1:])
        given = inputs.setdefault(shape, keras.Input(shape, name=f"x{len(inputs)}"))
        head = layers.Dense.from_config(
            model.layers[-1].get_config() | {"name": f"row{number}", "bias_initializer": "ones"}
        )
        outputs.append(layers.Flatten()(head(given)))
    return keras.Model(list(inputs.values()), layers.Concatenate()(outputs), name="together")


def every_loss(trainings: Sequence[Training]) -> Any:
    """Return the loss of `side_by_side`: the sum of every row's own on its part of the labels and of the output."""
    shapes = [tuple(training.build().outputs[0].shape[1:]) for training in trainings]

    def loss(labels: Any, output: Any) -> Any:
        total, start = 0.0, 0
        for training, shape in zip(trainings, shapes, strict=True):
            size = math.prod(shape)
            given = ops.reshape(labels[:, start : start + size], (-1, *shape))
            found = ops.reshape(output[:, start : start + size], (-1, *shape))
            row = resolve_loss(training.loss)
            values = row.call(_labels(row.name, row.sparse, given), found)
            total += values if len(values.shape) == 1 else ops.mean(values, axis=-1)
            start += size
        return total

    return loss


def _labels(name: str, sparse: bool, given: Any) -> Any:
    """Return labels of the kind that a loss wants, from numbers between 0 and 1."""
    if sparse:
        return ops.argmax(given, axis=-1)
    if "binary" in name or "hinge" in name:
        return ops.cast(given > 0.5, "float32")
    if "categorical" in name or "kl" in name:
        return ops.one_hot(ops.argmax(given, axis=-1), given.shape[-1])
    return given


class Together(keras.optimizers.Optimizer):
    """Several optimizers in one: each updates its own share of the variables, in their order."""

    def __init__(self, members: Sequence[Any], learning_rate: float = 0.1) -> None:
        super().__init__(learning_rate=learning_rate, name="together")
        self.members = tuple(type(member).from_config(member.get_config()) for member in members)
        for member in self.members:
            member._learning_rate, member._iterations = self._learning_rate, self._iterations

    def get_config(self) -> dict[str, Any]:
        return {"members": self.members, "learning_rate": 0.1}

    def build(self, variables: Sequence[Any]) -> None:
        super().build(list(variables))
        for member, share in zip(self.members, self._shares(variables), strict=True):
            member.build(list(share))

    @property
    def variables(self) -> list[Any]:
        own = super().variables
        known = {id(variable) for variable in own}
        return own + [v for member in self.members for v in member.variables[2:] if id(v) not in known]

    def apply(self, grads: Sequence[Any], trainable_variables: Sequence[Any]) -> None:
        shares = zip(self.members, self._shares(grads), self._shares(trainable_variables), strict=True)
        for member, gradients, variables in shares:
            member._backend_apply_gradients(list(gradients), list(variables))
        self._iterations.assign_add(1)

    def _shares(self, values: Sequence[Any]) -> list[Sequence[Any]]:
        size = len(values) // len(self.members)
        return [values[start : start + size] for start in range(0, len(values), size)]
