"""A round's weights as local training needs them: what it begins from, and what it subtracts at its end."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from edgewise_edge.mapped import let_go, mapped
from edgewise_wire.errors import RunError
from edgewise_wire.weights import Array, Flat, Weights, WeightSpec, check_one, layout, squares, unflatten

BLOCK = 1 << 16  # numbers at a time where a model is read through once: 256 KB


class StartingPoint:
    """The weights that local training starts from; who trains many devices from them makes one for all.

    Args:
        weights: float32[parameters], read and never written; they may lie in a mapped file.
        specs: of the weights, in their order.
        out: where each update is to stand, float32[parameters], for who is done with it before the next one; a new
            array each time if left out.

    Raises:
        InputError: if `weights` has another length than the specs ask for.

    Example:
        >>> start = StartingPoint(np.array([1.0, 2.0], "f4"), [WeightSpec("w", (2,))])
        >>> start.difference({"w": np.array([4.0, 6.0], "f4")})
        (array([3., 4.], dtype=float32), 5.0)
    """

    def __init__(self, weights: Flat, specs: Iterable[WeightSpec], out: Flat | None = None) -> None:
        self.weights = weights
        self.specs = tuple(specs)
        self.named: Weights = unflatten(weights, self.specs)
        self._places, self._size = layout(self.specs)
        self._lent = mapped(weights)
        self._out = out
        self._out_lent = out is not None and mapped(out)
        self._own = None if out is None else self._views(out)

    def difference(self, local: Weights) -> tuple[Flat, float]:
        """Return local minus starting weights and its L2 norm, to float32's precision; each of `local` is read once.

        Raises:
            InputError: if one of `local` has another shape or dtype.
            RunError: if the difference is not finite.
        """
        update = np.empty(self._size, np.float32) if self._out is None else self._out
        subtract = _subtract_lent if self._lent else np.subtract
        for spec, before, place in self._own or self._views(update):
            array = local[spec.name]
            check_one(array, spec)
            subtract(array, before, out=place)
        total = self._squares(update)  # one pass that says yes for nearly every update
        if not math.isfinite(total):
            self._check_finite(update)
        return update, math.sqrt(total) if total < math.inf else total

    def _views(self, update: Flat) -> list[tuple[WeightSpec, Array, Array]]:
        """Return each weight's place here and in an update."""
        return [
            (spec, self.weights[place].reshape(spec.shape), update[place].reshape(spec.shape))
            for spec, place in self._places
        ]

    def _squares(self, update: Flat) -> float:
        if not self._out_lent:
            return squares(update)
        total = 0.0
        for at in range(0, len(update), BLOCK):
            total += squares(update[at : at + BLOCK])
            let_go(update)
        return total

    def _check_finite(self, update: Flat) -> None:
        for spec, place in self._places:
            if not np.isfinite(update[place]).all():
                raise RunError(
                    f"training diverged: {spec.name!r} is not finite any more; a lower learning rate may help"
                )


def _subtract_lent(own: Array, lent: Array, out: Array) -> None:
    """Subtract what a mapped file lends, of which only a block is held at a time."""
    own, lent, out = own.reshape(-1), lent.reshape(-1), out.reshape(-1)
    for at in range(0, len(own), BLOCK):
        block = slice(at, at + BLOCK)
        np.subtract(own[block], lent[block], out=out[block])
        let_go(lent)
        let_go(out)
