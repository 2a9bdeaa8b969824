"""The rows of the table: each is a result by its settings, made from the text where it is not there yet."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from central import Central, some_rows
from central import train as train_centrally
from federated import Federated, Outcome, personalised
from federated import train as train_federated
from model import export, recall
from results import Entry, Results, counted
from split import Split, read_split
from trigram import Trigram

from edgewise.baselines import frequent_words
from edgewise.baselines import recall_of as recall_of_ids
from edgewise_edge.trainer import Trainer
from edgewise_wire.weights import Flat

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Personal:
    """How a device fine-tunes the fleet's model on its owner's text."""

    personal_epochs: int = 2
    personal_rate: float = 0.5


@dataclass(frozen=True)
class Rows:
    """Makes rows; `data` is the corpus, or `None`: then there is what was saved.

    `words`, `steps`, `embedding` and `units` are the sizes of vocabulary, messages and model.
    """

    results: Results
    data: Path | None
    folder: Path
    words: int
    steps: int
    embedding: int
    units: int
    workers: int | None
    say: Say

    @cached_property
    def split(self) -> Split:
        """The people's messages."""
        assert self.data is not None
        return read_split(self.data, self.words, self.steps)

    def frequent(self) -> Entry:
        """Return the recall of suggesting the same words always."""

        def make() -> Entry:
            split = self.split
            ids = frequent_words(_texts(split.train), split.tokenizer, steps=split.steps)
            parts = {"test": split.test, "validation": split.validation}
            return {
                name: counted(
                    recall_of_ids(ids, (t for p in part.values() for t in p), split.tokenizer, steps=split.steps)
                )
                for name, part in parts.items()
            }

        return self._get("frequent", self._text(), make)

    def trigram(self, share: float = 1.0) -> Entry:
        """Return the trigram's recall, of a share of the text."""

        def make() -> Entry:
            train = some_rows(self.split.rows(self.split.train, for_evaluation=False), share, 0)
            found = Trigram(train, self.split.tokenizer.size)
            return {
                "test": counted(found.recall(self.split.rows(self.split.test, for_evaluation=True))),
                "validation": counted(found.recall(self.split.rows(self.split.validation, for_evaluation=True))),
                "messages": len(train.tokens),
            }

        return self._get("trigram", {**self._text(), "share": share}, make)

    def central(self, how: Central, seed: int, share: float = 1.0) -> Entry:
        """Return the recall of the model trained centrally, on a share of the text."""
        settings = {**self._sizes(seed), **asdict(how), "share": share}

        def make() -> Entry:
            train = some_rows(self.split.rows(self.split.train, for_evaluation=False), share, seed)
            folder = self._folder("central", settings)
            weights, history = train_centrally(self._model(seed), train, self.split, how, seed, folder, self.say)
            return self._measured(self._model(seed), weights) | {"curve": history}

        return self._get("central", settings, make)

    def federated(self, how: Federated, seed: int) -> Entry:
        """Return the recall of the model trained by the fleet, with what that cost."""
        settings = {**self._sizes(seed), **asdict(how)}

        def make() -> Entry:
            found = self._outcome(how, seed, settings)
            return self._measured(self._model(seed), found.weights) | {"curve": found.curve, "costs": found.costs}

        return self._get("federated", settings, make)

    def personalised(self, how: Federated, personal: Personal, seed: int) -> Entry:
        """Return the recall of the fleet's model after each device fine-tuned it for its owner."""
        settings = {**self._sizes(seed), **asdict(how), **asdict(personal)}

        def make() -> Entry:
            weights = self._outcome(how, seed, {**self._sizes(seed), **asdict(how)}).weights
            self.say(f"seed {seed}: fine-tuning for {len(self.split.test)} people")
            found = personalised(
                self._model(seed), self.split, weights, epochs=personal.personal_epochs,
                learning_rate=personal.personal_rate, seed=seed,
            )  # fmt: skip
            return {"test": counted(found)}

        return self._get("personalised", settings, make)

    def _get(self, name: str, settings: dict[str, Any], make: Callable[[], Entry]) -> Entry:
        return self.results.get(name, settings, None if self.data is None else make)

    def _text(self) -> dict[str, Any]:
        return {"words": self.words, "steps": self.steps}

    def _sizes(self, seed: int) -> dict[str, Any]:
        return {**self._text(), "embedding": self.embedding, "units": self.units, "seed": seed}

    def _folder(self, name: str, settings: dict[str, Any]) -> Path:
        return self.folder / f"{name}-{'-'.join(f'{k}{v}' for k, v in settings.items())}"

    def _model(self, seed: int) -> Path:
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self._folder("model", self._sizes(seed)).with_suffix(".tflite")
        return export(self.split, path, seed=seed, embedding=self.embedding, units=self.units)

    def _outcome(self, how: Federated, seed: int, settings: dict[str, Any]) -> Outcome:
        folder = self._folder("federated", settings)
        return train_federated(self._model(seed), self.split, how, seed, folder, self.workers, self.say)

    def _measured(self, model: Path, weights: Flat) -> Entry:
        trainer, split = Trainer(model), self.split
        return {
            "test": counted(recall(trainer, weights, split.rows(split.test, for_evaluation=True))),
            "validation": counted(recall(trainer, weights, split.rows(split.validation, for_evaluation=True))),
        }


def _texts(part: dict[str, list[str]]) -> Iterator[str]:
    return (text for person in part.values() for text in person)
