"""The keyboard on the page: what two versions of the model suggest after the same words.

What is typed is encoded, run through the model and forgotten; it is neither stored nor logged.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from edgewise_coordinator.catalog import Catalog
from edgewise_wire.errors import ModelError, UnavailableError

TEXT_MAX = 400  # characters; a next-word model looks at the last twenty words or so
KEPT = 3  # interpreters: the two that are compared, and the one before the newest


class Keyboard:
    """Suggests with any version of a catalog. `missing` says why there is none, and what to do."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._open: OrderedDict[int, Any] = OrderedDict()
        self.missing = self._why_not()

    def suggest(self, text: str, version: int) -> list[dict[str, Any]]:
        """Return the words that a version suggests after `text`, likeliest first, with their probabilities.

        Raises:
            InputError: if there is no such version.
        """
        found = self._predictor(version).suggest(text[-TEXT_MAX:])
        return [{"word": s.word, "probability": s.probability} for s in found]

    def _predictor(self, version: int) -> Any:
        from edgewise_edge.predict import Predictor
        from edgewise_edge.trainer import Trainer

        if version not in self._open:
            self._open[version] = Predictor(Trainer(self._catalog.model_bytes(version)))
            while len(self._open) > KEPT:
                self._open.popitem(last=False)
        self._open.move_to_end(version)
        return self._open[version]

    def _why_not(self) -> str:
        try:
            self._predictor(self._catalog.rows()[0].version)
        except ModelError as error:
            return f"The keyboard is for next-word models. {error}"
        except UnavailableError as error:
            return f"The keyboard runs the model here, in a TFLite runtime. {error}"
        return ""
