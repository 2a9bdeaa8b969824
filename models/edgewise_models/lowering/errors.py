"""What cannot be lowered, said in the author's terms."""

from __future__ import annotations

import re
from collections.abc import Sequence

from edgewise_wire.errors import ModelError


class LoweringError(ModelError):
    """An operator of the model has no form made of TFLite built-in operators only.

    `operator` is TensorFlow's name, `path` the operator's place in the model; `layer` is filled in by `locate`.
    """

    def __init__(self, path: str, operator: str, why: str, way_out: str) -> None:
        self.path, self.operator, self.why, self.way_out = path, operator, why, way_out
        self.layer: str | None = None
        super().__init__(path, operator, why, way_out)

    def locate(self, layers: Sequence[str]) -> LoweringError:
        """Find the innermost of the model's layer names on the operator's path; return self.

        Keras numbers the scopes of a second call: `dense_1` then writes under `dense_1_1`, and `dense` under `dense_1`.
        """
        for part in reversed(self.path.split("/")):
            for name in (re.sub(r"_\d+$", "", part), part):
                if name in layers:
                    self.layer = name
                    return self
        return self

    def __str__(self) -> str:
        where = f"layer {self.layer!r}" if self.layer else f"at {self.path!r}"
        return f"{where}: operator {self.operator}: {self.why}; {self.way_out}"
