"""The two tables of rules: how an operator is written, and how its gradient is.

A forward rule takes a `Call` and returns the outputs (one value or a list). An operator without one is copied if TFLite
has a built-in for it. A backward rule takes the `Call` and one cotangent per output and returns one per input
(`None` where no gradient flows). A composed rule builds the operator with `call.player.emit` from others, which are
played themselves, so it needs no gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

Rule: TypeAlias = Callable[..., Any]

FORWARD: dict[str, Rule] = {}
BACKWARD: dict[str, Rule] = {}
COMPOSED: dict[str, Rule] = {}


def _into(table: dict[str, Rule], names: tuple[str, ...]) -> Callable[[Rule], Rule]:
    def register(rule: Rule) -> Rule:
        for name in names:
            if name in table:
                raise ValueError(f"operator {name!r} has two rules: {table[name].__name__} and {rule.__name__}")
            table[name] = rule
        return rule

    return register


def forward(*operators: str) -> Callable[[Rule], Rule]:
    """Register how the operators are written."""
    return _into(FORWARD, operators)


def backward(*operators: str) -> Callable[[Rule], Rule]:
    """Register the operators' vector-Jacobian product."""
    return _into(BACKWARD, operators)


def composed(*operators: str) -> Callable[[Rule], Rule]:
    """Register how the operators are emitted as others; a rule that returns None leaves it to the other tables."""
    return _into(COMPOSED, operators)


NEVER_FOLDED: set[str] = {"Placeholder", "PlaceholderWithDefault"}
"""Operators that their rule must see even when all inputs are known."""
STATEFUL: set[str] = set()
"""Operators whose value differs from call to call: random draws."""
