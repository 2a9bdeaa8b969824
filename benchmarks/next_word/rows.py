"""The rows of the table: each is a result by its settings, made from the text where it is not there yet."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from central import Central, some_rows
from central import train as train_centrally
from federated import Federated, Outcome, personalised
from federated import train as train_federated
from mixed import SHARES, Group, mixed
from model import export, recall
from results import Entry, Results, counted
from split import Split, Text, split_of
from trigram import Trigram

from edgewise.baselines import Recall, frequent_words
from edgewise.baselines import recall_of as recall_of_ids
from edgewise_edge.readers import People
from edgewise_edge.trainer import Trainer
from edgewise_wire.artifact import Artifact
from edgewise_wire.weights import Flat, unflatten

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Personal:
    """How a device fine-tunes the fleet's model on its owner's text."""

    personal_epochs: int = 1
    personal_rate: float = 0.5


@dataclass(frozen=True)
class Rows:
    """Makes rows of what `people` wrote, which is `text`, those aside that `results` has.

    `words`, `steps`, `embedding` and `units` are the sizes of vocabulary, messages and model; `word_dropout` is the
    share of the words that a training step reads as the unknown word.
    """

    results: Results
    people: People
    text: Text
    folder: Path
    words: int
    steps: int
    embedding: int
    units: int
    word_dropout: float
    workers: int | None
    say: Say

    @cached_property
    def split(self) -> Split:
        """The people's messages."""
        return split_of(self.people, self.words, self.steps)

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

    def own_trigram(self) -> Entry:
        """Return the recall of a trigram on each device of its owner's text alone, without any model."""

        def found(part: dict[str, list[str]]) -> list[int]:
            split = self.split
            recalls = [
                counted(self._own(person).recall(split.rows({person: texts}, for_evaluation=True)))
                for person, texts in part.items()
            ]
            return [sum(column) for column in zip(*recalls, strict=True)]

        def make() -> Entry:
            return {"test": found(self.split.test), "validation": found(self.split.validation)}

        return self._get("own_trigram", self._text(), make)

    def central(self, how: Central, seed: int, share: float = 1.0) -> Entry:
        """Return the recall of the model trained centrally, on a share of the text."""

        def make() -> Entry:
            weights, history = self._central(how, seed, share)
            return self._measured(self._model(seed), weights) | {"curve": history}

        return self._get("central", {**self._sizes(seed), **asdict(how), "share": share}, make)

    def _central(self, how: Central, seed: int, share: float) -> tuple[Flat, list[dict[str, Any]]]:
        train = some_rows(self.split.rows(self.split.train, for_evaluation=False), share, seed)
        folder = self._folder("central", {**self._sizes(seed), **asdict(how), "share": share})
        return train_centrally(self._model(seed), train, self.split, how, seed, folder, self.say)

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

    def central_trigram(self, how: Central, seed: int) -> Entry:
        """Return the recall of the centrally trained model and the trigram of everybody's text together."""

        def make() -> Entry:
            weights = self._central(how, seed, 1.0)[0]
            ngram = Trigram(self.split.rows(self.split.train, for_evaluation=False), self.split.tokenizer.size)
            return self._mixed(seed, weights, lambda person: ngram)

        return self._get("central_trigram", {**self._sizes(seed), **asdict(how)}, make)

    def federated_own(self, how: Federated, seed: int) -> Entry:
        """Return the recall of the fleet's model together with, on each device, a trigram of its owner's text alone."""
        settings = {**self._sizes(seed), **asdict(how)}

        def make() -> Entry:
            return self._mixed(seed, self._outcome(how, seed, settings).weights, self._own)

        return self._get("federated_own", settings, make)

    def _mixed(self, seed: int, weights: Flat, ngram: Callable[[str], Trigram]) -> Entry:
        """Return recall on test text at the share of the n-gram that did best on validation text."""
        by_name = unflatten(weights, Artifact.load(self._model(seed)).manifest.weights)

        def found(part: dict[str, list[str]], shares: Iterable[float]) -> dict[float, Recall]:
            groups = (
                Group(ngram(person), self.split.rows({person: texts}, for_evaluation=True))
                for person, texts in part.items()
            )
            return mixed(by_name, groups, shares)

        validation = found(self.split.validation, SHARES)
        share = max(validation, key=lambda one: validation[one].top1)
        test = found(self.split.test, [share])[share]
        return {"test": counted(test), "validation": counted(validation[share]), "ngram_share": share}

    def _own(self, person: str) -> Trigram:
        rows = self.split.rows({person: self.split.train[person]}, for_evaluation=False)
        return Trigram(rows, self.split.tokenizer.size)

    def _get(self, name: str, settings: dict[str, Any], make: Callable[[], Entry]) -> Entry:
        def timed() -> Entry:
            began = time.monotonic()
            found = make()
            seed = f", seed {settings['seed']}" if "seed" in settings else ""
            self.say(f"{name}{seed}: made in {time.monotonic() - began:.0f} s")
            return found

        return self.results.get(name, settings, timed)

    def _text(self) -> dict[str, Any]:
        return {"words": self.words, "steps": self.steps}

    def _sizes(self, seed: int) -> dict[str, Any]:
        return {
            **self._text(), "embedding": self.embedding, "units": self.units, "word_dropout": self.word_dropout,
            "seed": seed,
        }  # fmt: skip

    def _folder(self, name: str, settings: dict[str, Any]) -> Path:
        """Return where a run of this text with these settings keeps its checkpoints: all of them are no file's name."""
        told = f"{self.text.sha256} {json.dumps(settings, sort_keys=True)}".encode()
        return self.folder / f"{name}-{settings.get('seed', 0)}-{hashlib.sha256(told).hexdigest()[:12]}"

    def _model_path(self, seed: int) -> Path:
        return self._folder("model", self._sizes(seed)).with_suffix(".tflite")

    def _model(self, seed: int) -> Path:
        self.folder.mkdir(parents=True, exist_ok=True)
        return export(
            self.split, self._model_path(seed), seed=seed, embedding=self.embedding, units=self.units,
            word_dropout=self.word_dropout,
        )  # fmt: skip

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
