"""Sentences to the fixed-shape batches that the next-word model's `train` and `evaluate` signatures take.

A sentence of n words in T steps (n words beyond T are cut off):

    tokens   start  w1  w2 ... w(n)      0 ...     the start mark and words 1 to T-1
    labels   w1     w2  w3 ... end       0 ...     words 1 to T, and the end mark where there is room
    weight   1      1   1  ... 1 or 0    0 ...     the end mark counts in training, not in evaluation

A sentence without words makes no row. The counting follows Hard et al. 2018, §5. Where the graph allows it, a row holds
several short sentences, each with its own start mark (`PackedExamples`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgewise_edge.local_training import ArrayExamples, Examples, Order
from edgewise_edge.packing import Place, pack
from edgewise_edge.tokenizer import END, START, WordTokenizer
from edgewise_wire.errors import ConfigError
from edgewise_wire.manifest import Manifest
from edgewise_wire.weights import Array

Tokens: TypeAlias = NDArray[np.int32]
"""Word ids, int32[N, T]; 0 is padding."""
Weight: TypeAlias = NDArray[np.float32]
"""1 where a label counts, 0 where it does not, float32[N, T]."""
Batch: TypeAlias = dict[str, NDArray[Any]]
"""`tokens` int32[B, T], `labels` int32[B, T], `weight` float32[B, T]."""


class Rows(NamedTuple):
    """All examples of one device as three arrays of N rows and T columns, one row a sentence."""

    tokens: Tokens
    labels: Tokens
    weight: Weight


def rows(sentences: Iterable[str], tokenizer: WordTokenizer, *, steps: int, for_evaluation: bool = False) -> Rows:
    """Return one row a sentence that has words, in the order of `sentences`.

    Args:
        sentences: texts; a text's first `steps` words count.
        tokenizer: gives the ids.
        steps: T, the columns.
        for_evaluation: leave the end mark out of the weights.

    Example:
        >>> found = rows(["see you", "!"], WordTokenizer(["see", "you"]), steps=4)
        >>> found.tokens.tolist(), found.labels.tolist(), found.weight.tolist()
        ([[2, 4, 5, 0]], [[4, 5, 3, 0]], [[1.0, 1.0, 1.0, 0.0]])
    """
    encoded = [ids for ids in (tokenizer.encode(sentence)[:steps] for sentence in sentences) if ids]
    length = np.fromiter(map(len, encoded), np.int64, len(encoded))[:, None]
    column = np.arange(steps)[None, :]
    labels = np.zeros((len(encoded), steps), np.int32)
    labels[column < length] = np.fromiter(chain.from_iterable(encoded), np.int32, int(length.sum()))
    tokens = np.zeros_like(labels)
    tokens[:, 0] = START
    tokens[:, 1:] = labels[:, :-1]
    labels[column == length] = END
    counted = column < length if for_evaluation else column <= length
    return Rows(tokens, labels, counted.astype(np.float32))


class PackedExamples:
    """Sentences as batches whose rows hold as many of them as fit; see `packing.pack`.

    Each word is trained on or counted as it would be in a row of its own; a batch holds some 28 messages in 16 rows.

    Args:
        found: one row a sentence, as `rows` returns them.
        batch: B, the rows of a batch.

    Example:
        >>> found = rows(["see", "you see", "you"], WordTokenizer(["see", "you"]), steps=4)
        >>> [batch["tokens"].tolist() for batch in PackedExamples(found, 2).batches(np.arange(3))]
        [[[2, 4, 2, 5], [2, 5, 4, 0]]]
    """

    def __init__(self, found: Rows, batch: int) -> None:
        if batch < 1:
            raise ConfigError(f"batch: expected 1 or more, got {batch}")
        self._rows = found
        self._batch = batch
        self._lengths = np.count_nonzero(found.tokens, axis=1).tolist()

    @property
    def batch(self) -> int:
        """The rows of a batch."""
        return self._batch

    def __len__(self) -> int:
        return len(self._lengths)

    def count(self, order: Order) -> int:
        """Return the number of batches."""
        return sum(1 for _ in self._packed(order))

    def batches(self, order: Order) -> Iterator[Batch]:
        """Yield the sentences with these numbers; what is left of a row is zero, weight included."""
        columns = self._rows.tokens.shape[1]
        for places in self._packed(order):
            batch = {name: np.zeros((self._batch, columns), a.dtype) for name, a in self._rows._asdict().items()}
            for number, row, column in places:
                length = self._lengths[number]
                for name, array in self._rows._asdict().items():
                    batch[name][row, column : column + length] = array[number, :length]
            yield batch

    def _packed(self, order: Order) -> Iterator[list[Place]]:
        return pack(order.tolist(), self._lengths, self._batch, self._rows.tokens.shape[1])


def examples_for(arrays: Mapping[str, Array], manifest: Manifest) -> Examples:
    """Return examples that stand in arrays, one row each, as a model's graph takes them: sharing rows if it allows it.

    Agent and simulator both ask this, so that a simulated device makes the very batches of a real one.
    """
    if manifest.packs:
        return PackedExamples(Rows(arrays["tokens"], arrays["labels"], arrays["weight"]), manifest.batch)
    return ArrayExamples(arrays, manifest.batch)
