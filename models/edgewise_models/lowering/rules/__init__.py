"""The rules, one file per family of operators. Importing this package fills the tables of `registry`."""

from edgewise_models.lowering.rules import (
    activations,
    control,
    elementwise,
    gathers,
    losses,
    products,
    random,
    reductions,
    resize,
    shapes,
    windows,
)

__all__ = [
    "activations",
    "control",
    "elementwise",
    "gathers",
    "losses",
    "products",
    "random",
    "reductions",
    "resize",
    "shapes",
    "windows",
]
