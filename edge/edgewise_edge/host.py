"""What the host of an agent supplies: examples, a trainer, and whether now is a good time.

The agent knows nothing else of the device it runs on, so a Raspberry Pi, a simulator and a test plug in the same way.
"""

from __future__ import annotations

import contextlib
import gc
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from edgewise_edge.home import Home
from edgewise_edge.store import ExampleStore
from edgewise_wire.messages import Kind

if TYPE_CHECKING:
    from edgewise_edge.local_training import Examples, TrainerLike
    from edgewise_wire.manifest import Manifest

RUNTIMES = ("ai-edge-litert", "tflite-runtime")
TEXT_TASK = "next-word"  # every other task's examples are records


class Counts(NamedTuple):
    """How many examples a device holds."""

    train: int
    held_out: int

    def of(self, kind: int) -> int:
        """Return the number that an assignment of this kind is about."""
        return self.held_out if kind == Kind.EVALUATE else self.train


class Condition(Protocol):
    """One thing that must hold while a device takes part: power, temperature, an owner's wish."""

    def obstacle(self) -> str | None:
        """Return why not now, as a clause for people (`paused by its owner`), or `None` if it holds."""


class Host(Protocol):
    """What an agent asks of the device it runs on."""

    @property
    def runtime(self) -> str:
        """The name and version of what trains."""

    def counts(self) -> Counts:
        """Return how many examples there are."""

    def texts(self) -> Sequence[str]:
        """Return the texts to train on, for a round that looks for words."""

    def obstacle(self) -> str | None:
        """Return why the device cannot take part now, or `None`; asked between any two batches."""

    def trainer(self, graph: Path, graph_hash: bytes) -> TrainerLike:
        """Return a trainer over the graph file; the same one again for the same hash."""

    def examples(self, manifest: Manifest, kind: Kind) -> Examples:
        """Return the examples that an assignment of this kind is about, as the graph takes them."""

    def release(self) -> None:
        """Give back memory that the next assignment would need again: none came for a while."""


class AlwaysEligible:
    """The condition that always holds."""

    def obstacle(self) -> str | None:
        """Return `None`."""
        return None


class NotPaused:
    """Holds unless the owner has paused the device (`edgewise device pause`)."""

    def __init__(self, home: Home) -> None:
        self._mark = home.paused

    def obstacle(self) -> str | None:
        """Return why not now."""
        return "paused by its owner" if self._mark.exists() else None


class DeviceHost:
    """A device with an example store: a Raspberry Pi, a laptop.

    Args:
        home: the device's folder.
        store: its examples.
        threads: for the trainer.
        conditions: what must hold besides the owner's pause.
        load: makes a trainer out of a file; the real one when left out, imported only when first needed.
    """

    def __init__(
        self,
        home: Home,
        store: ExampleStore,
        *,
        threads: int = 1,
        conditions: Sequence[Condition] = (),
        load: Callable[[Path], TrainerLike] | None = None,
    ) -> None:
        self._store = store
        self._conditions = (NotPaused(home), *conditions)
        self._load = load or (lambda path: _load_trainer(path, threads))
        self._loaded: tuple[bytes, TrainerLike] | None = None

    @property
    def runtime(self) -> str:
        """The runtime that is installed; found without importing it."""
        return installed_runtime()

    def counts(self) -> Counts:
        """Return how many examples the store holds, those left out that have become too old for its limits."""
        self._store.enforce()
        return Counts(self._store.count(held_out=False), self._store.count(held_out=True))

    def texts(self) -> Sequence[str]:
        """Return the store's sentences but for those held out."""
        from edgewise_edge.records import is_record

        return [text for text in self._store.texts(held_out=False) if not is_record(text)]

    def obstacle(self) -> str | None:
        """Return the first condition's reason that does not hold."""
        return next((why for condition in self._conditions if (why := condition.obstacle())), None)

    def trainer(self, graph: Path, graph_hash: bytes) -> TrainerLike:
        """Return the trainer of this graph, kept between rounds: loading costs more than a round's small ones take."""
        if self._loaded is None or self._loaded[0] != graph_hash:
            self._loaded = None  # two graphs at once would not fit a small device
            self._loaded = (graph_hash, self._load(graph))
        return self._loaded[1]

    def examples(self, manifest: Manifest, kind: Kind) -> Examples:
        """Return the store's examples in the form that the manifest's task asks for.

        Raises:
            DataError: if the store holds a record that the model cannot take.
        """
        texts = self._store.texts(held_out=kind is Kind.EVALUATE)
        if manifest.task == TEXT_TASK:
            return next_word_examples(manifest, texts, kind is Kind.EVALUATE)
        from edgewise_edge.records import record_examples

        return record_examples(manifest, texts)

    def release(self) -> None:
        """Drop the trainer and hand its memory back to the system.

        With the 1.42 M model a device that waits then holds 60 MB less anonymous memory; loading again takes 50 ms.
        """
        if self._loaded is not None:
            self._loaded = None
            gc.collect()
            trim()


def next_word_examples(manifest: Manifest, texts: Sequence[str], for_evaluation: bool) -> Examples:
    """Return one example a text that has words, for a next-word model."""
    from edgewise_edge.next_word import examples_for, rows
    from edgewise_edge.records import is_record
    from edgewise_edge.tokenizer import WordTokenizer

    tokenizer = WordTokenizer(manifest.vocabulary)
    sentences = [text for text in texts if not is_record(text)]
    found = rows(sentences, tokenizer, steps=manifest.steps, for_evaluation=for_evaluation)
    return examples_for(found._asdict(), manifest)


def installed_runtime() -> str:
    """Return the name and version of the TFLite runtime that is installed, `none` if there is none."""
    for name in RUNTIMES:
        package = name.replace("-", "_")
        for folder in sys.path:  # importlib.metadata would say the same, and costs a device that waits 3 MB
            for found in Path(folder or ".").glob(f"{package}-*.dist-info"):
                return f"{name} {found.name.removeprefix(package + '-').removesuffix('.dist-info')}"
    return "none"


def trim() -> None:
    """Let glibc return what was freed: it keeps 30 MB of the interpreter's pages otherwise."""
    import ctypes

    with contextlib.suppress(OSError, AttributeError):  # another C library, which keeps less
        ctypes.CDLL(None).malloc_trim(0)


def _load_trainer(path: Path, threads: int) -> TrainerLike:
    from edgewise_edge.trainer import (
        Trainer,  # the runtime behind it takes 40 MB: only when there is something to train
    )

    return Trainer(path, threads=threads)
