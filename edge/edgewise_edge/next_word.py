"""Sentences to the fixed-shape batches that the next-word model's `train` and `evaluate` signatures take.

A sentence of n words in T steps (n words beyond T are cut off):

    tokens   start  w1  w2 ... w(n)      0 ...     the start mark and words 1 to T-1
    labels   w1     w2  w3 ... end       0 ...     words 1 to T, and the end mark where there is room
    weight   1      1   1  ... 1 or 0    0 ...     the end mark counts in training, not in evaluation

A sentence without words makes no row. The counting follows Hard et al. 2018, §5.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgewise_edge.tokenizer import END, START, WordTokenizer
from edgewise_wire.errors import ConfigError

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


def batches(
    sentences: Iterable[str],
    tokenizer: WordTokenizer,
    *,
    batch: int,
    steps: int,
    order: np.random.Generator | None = None,
    max_examples: int = 0,
    for_evaluation: bool = False,
) -> Iterator[Batch]:
    """Yield the sentences as batches of one shape; the rows that the last one lacks are zero, weight included.

    Args:
        sentences: texts; those without words are left out.
        tokenizer: gives the ids.
        batch: B, the rows of a batch.
        steps: T, the columns.
        order: shuffles the examples; `None` keeps their order.
        max_examples: how many to use at most (of a shuffled list: a random sample), 0 for all.
        for_evaluation: the end mark has weight 0, so that recall counts words alone.

    Raises:
        ConfigError: if `batch` or `steps` is below 1, or `max_examples` below 0.

    Example:
        >>> [found] = batches(["see you"], WordTokenizer(["see", "you"]), batch=2, steps=3)
        >>> found["labels"].tolist()
        [[4, 5, 3], [0, 0, 0]]
    """
    for name, value, least in (("batch", batch, 1), ("steps", steps, 1), ("max_examples", max_examples, 0)):
        if value < least:
            raise ConfigError(f"{name}: expected {least} or more, got {value}")
    found = rows(sentences, tokenizer, steps=steps, for_evaluation=for_evaluation)
    return _batches(found, _plan(found, batch, order, max_examples), batch)


def _plan(found: Rows, batch: int, order: np.random.Generator | None, most: int) -> Iterator[NDArray[np.int64]]:
    """Yield the row numbers of each batch. Batches of rows alike in length would be made here, nowhere else."""
    count = len(found.tokens)
    numbers = np.arange(count) if order is None else order.permutation(count)
    numbers = numbers[: most or count]
    for at in range(0, len(numbers), batch):
        yield numbers[at : at + batch]


def _batches(found: Rows, plan: Iterable[NDArray[np.int64]], batch: int) -> Iterator[Batch]:
    for numbers in plan:
        yield {name: _filled(array[numbers], batch) for name, array in found._asdict().items()}


def _filled(array: NDArray[Any], batch: int) -> NDArray[Any]:
    """Return the array with zero rows added up to `batch`."""
    if len(array) == batch:
        return array
    filled: NDArray[Any] = np.zeros((batch, array.shape[1]), array.dtype)
    filled[: len(array)] = array
    return filled
