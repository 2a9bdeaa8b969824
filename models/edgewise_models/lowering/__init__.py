"""Rewrites what TensorFlow traced into TFLite's built-in operators, gradients included.

`trace` records a function, `Player` writes it anew under the rules, `gradients` walks the tape back.
"""

from edgewise_models.lowering import rules as _rules  # fills the tables
from edgewise_models.lowering.backprop import gradients
from edgewise_models.lowering.errors import LoweringError
from edgewise_models.lowering.player import Player
from edgewise_models.lowering.trace import Traced, trace

__all__ = ["LoweringError", "Player", "Traced", "gradients", "trace"]
del _rules
