"""The shape that every server algorithm has: a frozen pair of functions over a state that can be printed and saved."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from edgewise_wire.weights import Flat

State = dict[str, Any]
"""Arrays and plain numbers by name: what must survive a restart beside the weights; `{}` when there is nothing."""


class Algorithm(NamedTuple):
    """`init(weights) -> state`, `step(weights, state, update) -> (weights, state)`.

    `update` is the weighted mean of the devices' differences, float32[parameters]; the weights returned are new.
    """

    name: str
    init: Callable[[Flat], State]
    step: Callable[[Flat, State, Flat], tuple[Flat, State]]
