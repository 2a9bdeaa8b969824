"""One operator of the played graph: what a rule is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from edgewise_models.lowering.errors import LoweringError
from edgewise_models.lowering.values import Value, is_known, shape_of

if TYPE_CHECKING:
    from edgewise_models.lowering.player import Player


@dataclass(eq=False, slots=True)
class Call:
    """An operator with its inputs and, once played, its outputs (all values of the graph being written)."""

    type: str
    inputs: list[Value]
    attrs: Mapping[str, Any]
    name: str
    player: Player
    outputs: list[Value] = field(default_factory=list)
    needs: tuple[bool, ...] = ()
    saved: Any = None
    source: Any = None

    @property
    def x(self) -> Value:
        """The first input."""
        return self.inputs[0]

    @property
    def y(self) -> Value:
        """The first output."""
        return self.outputs[0]

    def known(self, index: int, what: str) -> Any:
        """Return input `index` as a NumPy array.

        Raises:
            LoweringError: if it depends on the data.
        """
        value = self.inputs[index]
        if not is_known(value):
            raise LoweringError(
                self.name, self.type, f"{what} depends on the data", f"make {what} a constant of the model"
            )
        return np.asarray(value)

    def refuse(self, why: str, way_out: str) -> LoweringError:
        """Return the error that names this operator."""
        return LoweringError(self.name, self.type, why, way_out)

    def shape(self, index: int = 0) -> tuple[int, ...]:
        """Return the shape of input `index`."""
        return shape_of(self.inputs[index])
