"""The shape that every server algorithm has: a frozen pair of functions over a state that can be printed and saved."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from edgewise_wire.weights import Flat

State = dict[str, Any]
"""Arrays and plain numbers by name: what must survive a restart beside the weights; `{}` when there is nothing."""


class Aggregate(NamedTuple):
    """What a round's reports come to.

    `update` is the aggregate of the devices' differences (local weights − round weights), float32[parameters]; where
    devices send more (`Client.parts`), their further vectors follow it. `reports` and `examples` are how many it has.
    """

    update: Flat
    reports: int = 1
    examples: int = 1


@dataclass(frozen=True, slots=True)
class Client:
    """What an algorithm asks of devices beyond FedAvg's local SGD; the default asks nothing.

    Attributes:
        mu: weight of FedProx's proximal term.
        correction: what the devices add to each gradient, by name: `scaffold`, or nothing.
        control: name of the array in the server's state that travels to the devices beside the weights.
        parts: how many vectors float32[parameters] an update has, one after the other.
        uniform: whether each report counts the same; else it weighs as many as its examples.
    """

    mu: float = 0.0
    correction: str = ""
    control: str = ""
    parts: int = 1
    uniform: bool = False


class Algorithm(NamedTuple):
    """`init(weights) -> state`, `step(weights, state, aggregate) -> (weights, state)`; `client` is the devices' half.

    The weights and arrays returned are new: those handed in are never written.
    """

    name: str
    init: Callable[[Flat], State]
    step: Callable[[Flat, State, Aggregate], tuple[Flat, State]]
    client: Client = Client()
