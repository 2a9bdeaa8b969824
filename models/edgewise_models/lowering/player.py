"""Plays a traced graph into the graph being written, operator by operator, under our rules.

Playing is interpretation: every operator of the author's traced function is written anew (as itself, or as a rule
says), functions are inlined, loops with a known count are unrolled, branches with a known condition are chosen,
variables are values that assignments replace. What depends on a trained weight is also taped, for `backprop` to walk in
reverse.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from tensorflow.python.framework.func_graph import FuncGraph
from tensorflow.python.framework.function_def_to_graph import function_def_to_graph

from edgewise_models.lowering import registry
from edgewise_models.lowering.audit import BUILT_IN, no_built_in
from edgewise_models.lowering.call import Call
from edgewise_models.lowering.errors import LoweringError
from edgewise_models.lowering.values import FOLD_LIMIT, TensorList, Value, VariableRef, is_known
from edgewise_models.tensorflow import tf

ASSIGNMENTS = frozenset({"AssignVariableOp", "AssignAddVariableOp", "AssignSubVariableOp"})
FUNCTION_CALLS = frozenset({"PartitionedCall", "StatefulPartitionedCall"})
INTERNAL_ATTRS = ("_", "config", "executor_type")
UNFOLDED = frozenset({"Placeholder", "PlaceholderWithDefault"})


class Player:
    """Writes one function. `tape` holds what has a gradient.

    A bound variable is a value that assignments replace. Any other one is read as the constant it is now and never
    written: a frozen layer's weight, the state of a random generator (the `seed` input takes its place).
    """

    def __init__(self, seed: Value | None = None, *, allow_flex: bool = False) -> None:
        self.allow_flex = allow_flex
        self.variables: dict[int, Value] = {}
        self._bound: set[int] = set()
        self.assigned: dict[int, VariableRef] = {}
        self.tape: list[Call] = []
        self.seed = seed
        self.random_sites = 0
        self.cache: dict[Any, Any] = {}
        self._active: dict[int, Value] = {}
        self._scopes: list[dict[int, Value]] = []

    # -- activity -----------------------------------------------------------------------------------------------

    def watch(self, values: Iterable[Value]) -> None:
        """Tape everything that depends on `values`."""
        for value in values:
            self._active[id(value)] = value

    def is_active(self, value: Value) -> bool:
        """Whether the value depends on something watched."""
        if isinstance(value, TensorList):
            return any(self.is_active(item) for item in value.items)
        return id(value) in self._active

    # -- variables ----------------------------------------------------------------------------------------------

    def bind(self, variable: Any, value: Value) -> None:
        """Let the `tf.Variable` stand for `value` from now on."""
        self.variables[id(variable)] = value
        self._bound.add(id(variable))

    def value_of(self, variable: Any) -> Value:
        """Return a bound variable's current value."""
        return self.variables[id(variable)]

    def read(self, ref: VariableRef) -> Value:
        """Return the variable's current value."""
        if ref.key not in self.variables:
            with tf.init_scope():  # not variable.numpy(): that would note the variable as one of the function's
                read = tf.raw_ops.ReadVariableOp(resource=ref.variable.handle, dtype=ref.variable.dtype)
                self.variables[ref.key] = np.asarray(read.numpy())
        return self.variables[ref.key]

    def assign(self, ref: VariableRef, value: Value) -> None:
        """Let later reads see `value`, if the variable is bound."""
        if ref.key in self._bound:
            self.variables[ref.key] = value
            self.assigned[ref.key] = ref

    # -- graphs -------------------------------------------------------------------------------------------------

    def play(self, graph: Any, bindings: Mapping[int, Value], outputs: Sequence[Any], path: str = "") -> list[Value]:
        """Play `graph` with its placeholders bound by id; return the values of `outputs`."""
        env: dict[int, Value] = dict(bindings)
        self._scopes.append(env)
        try:
            for op in _needed(graph, outputs):
                if all(id(out) in env for out in op.outputs) and op.outputs:
                    continue
                call = Call(op.type, [self._lookup(t, env) for t in op.inputs], _attrs(op), path + op.name, self)
                call.source = op
                for tensor, value in zip(op.outputs, self.apply(call), strict=True):
                    env[id(tensor)] = value
            return [self._lookup(t, env) for t in outputs]
        finally:
            self._scopes.pop()

    def _lookup(self, tensor: Any, env: dict[int, Value]) -> Value:
        if id(tensor) in env:
            return env[id(tensor)]
        for scope in reversed(self._scopes):
            if id(tensor) in scope:
                return scope[id(tensor)]
        return tensor

    @property
    def scopes(self) -> tuple[dict[int, Value], ...]:
        """The values of the graphs being played, outermost first."""
        return tuple(self._scopes)

    def trace_and_play(self, build: Callable[[], Any], name: str, within: Call | None = None) -> list[Value]:
        """Trace `build` and play it. It may use any tensor written so far, or of the author's graph around `within`."""
        with within.source.graph.as_default() if within else contextlib.nullcontext():
            scratch = FuncGraph("scratch")
        with scratch.as_default():
            made = build()
            outputs = [tf.convert_to_tensor(t) for t in (made if isinstance(made, (list, tuple)) else [made])]
        kept = self._scopes
        self._scopes = [*within.saved] if within else kept
        try:
            bindings = {id(inner): self.capture(outer) for outer, inner in scratch.captures}
            return self.play(scratch, bindings, outputs, path=f"{name}/")
        finally:
            self._scopes = kept

    def capture(self, outer: Any) -> Value:
        """Return the value that a captured tensor stands for."""
        for scope in reversed(self._scopes):
            if id(outer) in scope:
                return scope[id(outer)]
        if isinstance(outer, tf.Tensor) and hasattr(outer, "numpy") and outer.dtype != tf.resource:
            return np.asarray(outer.numpy())
        return outer

    # -- operators ----------------------------------------------------------------------------------------------

    def emit(self, type_: str, inputs: Sequence[Value], name: str, **attrs: Any) -> list[Value]:
        """Write one operator through the rules, as if it stood in the author's graph."""
        return self.apply(Call(type_, list(inputs), attrs, name, self))

    def apply(self, call: Call) -> list[Value]:
        """Write one operator by its rule and tape it; return its outputs."""
        try:
            return self._apply(call)
        except LoweringError:
            raise
        except (ValueError, TypeError, KeyError, NotImplementedError, tf.errors.OpError) as error:
            reason = str(error).splitlines()[0][:300] if str(error) else type(error).__name__
            raise call.refuse(f"cannot be written ({reason})", "report it with the layer's settings") from error

    def _apply(self, call: Call) -> list[Value]:
        folded = self._fold(call)
        if folded is not None:
            return folded
        if call.type in registry.COMPOSED:
            composed = registry.COMPOSED[call.type](call)
            if composed is not None:
                return list(composed) if isinstance(composed, (list, tuple)) else [composed]
        rule = registry.FORWARD.get(call.type)
        if rule is None and call.type not in BUILT_IN and not self.allow_flex:
            raise no_built_in(call.name, call.type)
        with tf.name_scope(_scope(call.name)):
            made = rule(call) if rule else copy(call)
        call.outputs = list(made) if isinstance(made, (list, tuple)) else [made]
        self._record(call)
        return call.outputs

    def _record(self, call: Call) -> None:
        call.needs = tuple(self.is_active(value) for value in call.inputs)
        if not any(call.needs) or call.type in STOPS:
            return
        fresh = [out for out in call.outputs if not any(out is value for value in call.inputs)]
        fresh = [out for out in fresh if isinstance(out, tf.Tensor) and out.dtype.is_floating]
        if fresh:
            self.tape.append(call)
            self.watch(fresh)

    def _fold(self, call: Call) -> list[Value] | None:
        """Compute an operator whose inputs are all known."""
        if call.type in registry.NEVER_FOLDED or not all(is_known(value) for value in call.inputs):
            return None
        if not hasattr(tf.raw_ops, call.type):  # one of our own
            return None
        if call.type in registry.STATEFUL or any(value.dtype == object for value in call.inputs):
            return None
        with tf.init_scope():
            made = copy(call)
        if sum(int(out.shape.num_elements() or 0) for out in made) > FOLD_LIMIT:
            return None
        return [out.numpy() if isinstance(out.numpy(), np.ndarray) else np.asarray(out.numpy()) for out in made]


STOPS = frozenset({"StopGradient", "PreventGradient"})


def copy(call: Call) -> list[Value]:
    """Write the operator as itself."""
    function = getattr(tf.raw_ops, call.type, None)
    definition = _definition(call.type)
    if function is None or definition is None:
        raise call.refuse("TensorFlow cannot write it outside its own graph", "use another operator")
    keywords = _inputs_by_name(definition, call)
    inferred = set()
    for arg in definition.input_arg:
        inferred |= {arg.type_attr, arg.number_attr, arg.type_list_attr}
    for attr in definition.attr:
        if attr.name not in inferred and attr.name in call.attrs:
            keywords[attr.name] = call.attrs[attr.name]
    made = function(**keywords)
    if made is None or isinstance(made, tf.Operation):
        return []
    return list(made) if isinstance(made, (list, tuple)) else [made]


def _definition(type_: str) -> Any:
    from tensorflow.python.framework import op_def_registry

    return op_def_registry.get(type_)


RENAMED = {
    "reduction_indices": "axis", "dim": "axis", "split_dim": "axis", ("Select", "t"): "x", ("Select", "e"): "y",
}  # fmt: skip
"""Arguments whose name in the operator's definition differs from the one in `tf.raw_ops`."""


def _inputs_by_name(definition: Any, call: Call) -> dict[str, Any]:
    keywords: dict[str, Any] = {}
    at = 0
    for arg in definition.input_arg:
        name = RENAMED.get((call.type, arg.name)) or RENAMED.get(arg.name, arg.name)
        if arg.number_attr or arg.type_list_attr:
            fixed = sum(1 for other in definition.input_arg if not (other.number_attr or other.type_list_attr))
            lists = len(definition.input_arg) - fixed
            size = call.attrs.get(arg.number_attr) if arg.number_attr else None
            count = int(size) if isinstance(size, int) else (len(call.inputs) - fixed) // max(lists, 1)
            keywords[name] = list(call.inputs[at : at + count])
            at += count
        else:
            keywords[name] = call.inputs[at]
            at += 1
    return keywords


class _Attrs(Mapping[str, Any]):
    """An operator's attributes, read when asked for."""

    def __init__(self, op: Any) -> None:
        self._op = op

    def __getitem__(self, key: str) -> Any:
        try:
            return self._op.get_attr(key)
        except ValueError as error:
            raise KeyError(key) from error

    def __iter__(self) -> Any:
        return iter(self._op.node_def.attr)

    def __len__(self) -> int:
        return len(self._op.node_def.attr)


def _attrs(op: Any) -> Mapping[str, Any]:
    return _Attrs(op)


def _scope(name: str) -> str:
    """Return a scope name TensorFlow accepts."""
    cleaned = "".join(c if c.isalnum() or c in "/_.-" else "_" for c in name).strip("/")
    return cleaned if cleaned and cleaned[0].isalnum() else f"op{cleaned}"


def _needed(graph: Any, outputs: Sequence[Any]) -> list[Any]:
    """Return the operators that the outputs or an assignment depend on, in the order they were made."""
    wanted = [t.op for t in outputs if getattr(t, "graph", None) is graph]
    for op in graph.get_operations():
        if op.type in ASSIGNMENTS or (op.type in ("StatefulPartitionedCall", "While", "If") and not op.outputs):
            wanted.append(op)
    seen = {id(op) for op in ancestors(wanted)}
    return [op for op in graph.get_operations() if id(op) in seen]


def ancestors(operators: Iterable[Any]) -> list[Any]:
    """Return the operators and all that they depend on."""
    found: dict[int, Any] = {}
    waiting = list(operators)
    while waiting:
        op = waiting.pop()
        if id(op) not in found:
            found[id(op)] = op
            waiting.extend(t.op for t in op.inputs)
    return list(found.values())


def body_of(call: Call, attr: str) -> Any:
    """Return the `FuncGraph` of the function that an attribute names."""
    name = call.attrs[attr].name
    return graph_of(name, call.source.graph)


def graph_of(name: str, graph: Any) -> Any:
    """Return the `FuncGraph` of a function by name."""
    function = graph._get_function(name)
    made = getattr(function, "graph", None)
    if made is not None:
        return made
    return function_def_to_graph(function.cached_definition)
