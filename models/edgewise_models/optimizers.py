"""An author's optimizer: Keras' own update is traced, its slots become variables of the artifact.

The learning rate is the signature's input and the step counter a float32 slot, which int64 would not be in XNNPACK.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from edgewise_models.lowering import Player, Traced, trace
from edgewise_models.lowering.values import Value, VariableRef
from edgewise_models.source_model import distinct
from edgewise_models.tensorflow import tf
from edgewise_wire.errors import ConfigError


def resolve_optimizer(optimizer: Any) -> Any:
    """Return a fresh copy of a `keras.optimizers` object (or of the one so named), its learning rate a plain number.

    Raises:
        ConfigError: if there is none of that name, or it averages weights over steps.
    """
    try:
        found = keras.optimizers.get(optimizer)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"optimizer {optimizer!r}: not known to Keras; pass a keras.optimizers object") from error
    if isinstance(found, keras.optimizers.LossScaleOptimizer):
        raise ConfigError("optimizer: expected one without loss scaling; float32 needs none")
    config = found.get_config()
    if config.get("use_ema") or config.get("gradient_accumulation_steps"):
        raise ConfigError(
            f"optimizer {type(found).__name__}: expected one without moving averages and accumulation; the coordinator"
            " averages"
        )
    config["learning_rate"] = 0.1
    return type(found).from_config(config)


class OptimizerStep:
    """The update of all trainable variables as a traced function, and its slots."""

    def __init__(self, optimizer: Any, variables: Mapping[str, Any], model_variables: Sequence[Any]) -> None:
        self.optimizer = resolve_optimizer(optimizer)
        self._keras_variables = list(model_variables)
        self.variables = dict(variables)
        self.optimizer.build(self._keras_variables)
        specs = [tf.TensorSpec(v.shape, tf.float32) for v in self.variables.values()]
        self._traced: Traced = trace(self._apply, specs)
        self._rate = self.optimizer._learning_rate.value
        self._iterations = self.optimizer.iterations.value
        self.counter = tf.Variable(0.0, name="step", dtype=tf.float32) if self._counts() else None
        self.slots = self._find_slots()

    def _apply(self, *gradients: Any) -> Any:
        self.optimizer.apply(list(gradients), self._keras_variables)
        return tf.constant(0)

    def _counts(self) -> bool:
        """Whether the update depends on the number of steps: then the counter must be kept."""
        return self._traced.reads(self._iterations)

    def _find_slots(self) -> dict[str, Any]:
        others = {id(self._rate), id(self._iterations)}
        trained = {id(v) for v in self.variables.values()}
        used = [
            v
            for v in self.optimizer.variables
            if id(v.value) not in others | trained and self._traced.captured(v.value)
        ]
        slots = dict(zip(distinct([f"slot/{v.path}" for v in used]), (v.value for v in used), strict=True))
        if self.counter is not None:
            slots["slot/step"] = self.counter
        return slots

    def play(self, player: Player, gradients: Sequence[Value], learning_rate: Value) -> None:
        """Apply the update to the player's variables and to the slots."""
        player.bind(self._rate, learning_rate)
        for slot in self.slots.values():
            player.bind(slot, slot.read_value())
        count = None if self.counter is None else player.value_of(self.counter)
        player.bind(self._iterations, np.int64(0) if count is None else tf.cast(count, tf.int64))
        self._traced.play(player, list(gradients))
        player.assigned.pop(id(self._iterations), None)
        if count is not None:
            player.assign(VariableRef(self.counter), count + 1.0)
