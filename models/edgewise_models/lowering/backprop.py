"""Reverse-mode differentiation of what a `Player` taped, with our own rules.

A cotangent may be a `tf.Tensor` or a structured stand-in (`Cotangent`) that is made dense only if someone needs it so.
Contributions are kept apart until their sum is read: the products of a weight that a loop used many times then become
one product.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from edgewise_models.lowering import registry
from edgewise_models.lowering.call import Call
from edgewise_models.lowering.errors import LoweringError
from edgewise_models.lowering.player import Player
from edgewise_models.lowering.values import Value, is_known, shape_of
from edgewise_models.tensorflow import tf


@runtime_checkable
class Cotangent(Protocol):
    """A gradient that is not written out yet."""

    def dense(self) -> Value:
        """Write it out as a tensor."""

    def merge(self, others: Sequence[Any]) -> Value | None:
        """Return the sum of itself and `others` in one piece, or None if they do not go together."""


@dataclass(frozen=True, slots=True)
class Several:
    """Contributions that stay apart until all of them are known."""

    parts: tuple[Any, ...]


def dense(cotangent: Value) -> Value:
    """Return the cotangent as a tensor."""
    if cotangent is None or isinstance(cotangent, tf.Tensor) or is_known(cotangent):
        return cotangent
    return cotangent.dense()


def total(contributions: Sequence[Value]) -> Value:
    """Return the sum of contributions; like kinds merge, the rest are added one by one."""
    rest = list(contributions)
    parts: list[Value] = []
    while rest:
        first = rest.pop(0)
        if isinstance(first, tf.Tensor) or is_known(first):
            parts.append(first)
            continue
        same = [other for other in rest if type(other) is type(first)]
        merged = first.merge(same) if same else None
        if merged is not None:
            rest = [other for other in rest if type(other) is not type(first)]
            first = merged
        parts.append(first)
    if len(parts) == 1:
        return parts[0]
    out = dense(parts[0])
    for part in parts[1:]:
        # chained additions: ADD_N is outside XNNPACK and would split its graph
        out = out + dense(part)
    return out


def gradients(player: Player, seeds: Sequence[tuple[Value, Value]], targets: Sequence[Value]) -> list[Value | None]:
    """Return the gradient at each target, given (value, cotangent) pairs to start from; None where nothing flows.

    Raises:
        LoweringError: if an operator on the way has no gradient made of built-in operators.
    """
    found: dict[int, list[Value]] = {}
    for value, cotangent in seeds:
        found.setdefault(id(value), []).append(cotangent)
    kept = {id(target) for target in targets}
    for call in reversed(player.tape):
        cotangents = [found.get(id(out)) if id(out) in kept else found.pop(id(out), None) for out in call.outputs]
        if all(c is None for c in cotangents):
            continue
        for value, contribution in _pull(call, [None if c is None else total(c) for c in cotangents]):
            found.setdefault(id(value), []).append(contribution)
    return [dense(total(found[id(target)])) if id(target) in found else None for target in targets]


def _pull(call: Call, cotangents: list[Value]) -> list[tuple[Value, Value]]:
    rule = registry.BACKWARD.get(call.type)
    if not getattr(rule, "structured", False):
        cotangents = [dense(c) for c in cotangents]
    try:
        with tf.name_scope(f"gradient/{call.name.strip('/')}"):
            made = rule(call, *cotangents) if rule else registered(call, cotangents)
    except LoweringError:
        raise
    except (ValueError, TypeError, KeyError, LookupError, NotImplementedError) as error:
        reason = str(error).splitlines()[0][:300] if str(error) else type(error).__name__
        raise call.refuse(f"its gradient cannot be written ({reason})", "freeze the layers before it") from error
    made = list(made) if isinstance(made, (list, tuple)) else [made]
    return [
        (value, part)
        for value, cotangent, need in zip(call.inputs, made, call.needs, strict=False)
        for part in (cotangent.parts if isinstance(cotangent, Several) else (cotangent,))
        if need and part is not None
    ]


def structured(rule: Any) -> Any:
    """Mark a backward rule that takes cotangents as they are, dense or not."""
    rule.structured = True
    return rule


def registered(call: Call, cotangents: list[Value]) -> list[Value | None]:
    """Trace TensorFlow's own gradient of the operator and play it under the forward rules."""
    from tensorflow.python.framework import ops

    op = call.outputs[0].op
    if op.type != call.type:
        raise call.refuse("it has no gradient here", "freeze the layers before it, or use another operator")
    try:
        function = ops.get_gradient_function(op)
    except LookupError:
        function = None
    if function is None:
        raise call.refuse("TensorFlow defines no gradient for it", "freeze the layers before it")
    holes: list[bool] = []

    def build() -> list[Any]:
        filled = [tf.zeros(shape_of(out)) if c is None else c for out, c in zip(call.outputs, cotangents, strict=True)]
        made = function(op, *filled)
        made = list(made) if isinstance(made, (list, tuple)) else [made]
        holes[:] = [g is None for g in made]
        return [tf.convert_to_tensor(g) for g in made if g is not None]

    played = iter(call.player.trace_and_play(build, call.name))
    return [None if hole else next(played) for hole in holes]
