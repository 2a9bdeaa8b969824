"""Traces a Python function once, with fixed shapes, and plays the trace wherever it is needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from edgewise_models.lowering.player import ASSIGNMENTS, FUNCTION_CALLS, Player, ancestors
from edgewise_models.lowering.values import Value, VariableRef
from edgewise_models.tensorflow import tf


@dataclass(frozen=True, slots=True)
class Traced:
    """A function as TensorFlow's graph, with what it captured; `call` runs it as TensorFlow does, on flat arguments."""

    call: Any
    graph: Any
    inputs: tuple[Any, ...]
    outputs: Any
    captures: tuple[tuple[Any, Any], ...]
    variables: tuple[Any, ...]

    def play(self, player: Player, inputs: Sequence[Value]) -> Any:
        """Play it with `inputs`; return values in the structure of what the function returned."""
        bindings = {id(t): value for t, value in zip(self.inputs, inputs, strict=True)}
        owners = {id(variable.handle): variable for variable in self.variables}
        for outer, inner in self.captures:
            bindings[id(inner)] = VariableRef(owners[id(outer)]) if id(outer) in owners else player.capture(outer)
        flat = tf.nest.flatten(self.outputs)
        return tf.nest.pack_sequence_as(self.outputs, player.play(self.graph, bindings, flat))

    def captured(self, variable: Any) -> bool:
        """Whether the function uses the variable at all."""
        return any(outer is variable.handle for outer, _ in self.captures)

    def reads(self, variable: Any) -> bool:
        """Whether anything but the variable's own new value depends on it."""
        inner = next((inner for outer, inner in self.captures if outer is variable.handle), None)
        if inner is None:
            return False
        roots = [
            op
            for op in self.graph.get_operations()
            if (op.type in ASSIGNMENTS and op.inputs[0] is not inner) or op.type in FUNCTION_CALLS
        ]
        roots += [t.op for t in tf.nest.flatten(self.outputs)]
        return any(inner is t for op in ancestors(roots) for t in op.inputs if op.type not in ASSIGNMENTS)


def trace(function: Callable[..., Any], specs: Sequence[Any]) -> Traced:
    """Trace `function` on tensors of these specs (fixed shapes)."""
    concrete = tf.function(function, autograph=False).get_concrete_function(*specs)
    graph = concrete.graph
    count = len(graph.inputs) - len(graph.captures)
    return Traced(
        concrete,
        graph,
        tuple(graph.inputs[:count]),
        graph.structured_outputs,
        tuple(graph.captures),
        tuple(graph.variables),
    )
