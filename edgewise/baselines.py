"""What a next-word model must beat: suggesting the same most frequent words always."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from edgewise_edge.next_word import rows
from edgewise_edge.tokenizer import FIRST_WORD, WordTokenizer


@dataclass(frozen=True, slots=True)
class Recall:
    """Hits among `words` word positions; `top1` and `top3` are fractions, 0 where there is no word."""

    words: int
    top1_hits: int
    top3_hits: int

    @property
    def top1(self) -> float:
        """The part of the positions whose word was the first suggestion."""
        return self.top1_hits / max(self.words, 1)

    @property
    def top3(self) -> float:
        """The part of the positions whose word was among the first three."""
        return self.top3_hits / max(self.words, 1)


def frequent_words(train: Iterable[str], tokenizer: WordTokenizer, *, steps: int, count: int = 3) -> list[int]:
    """Return the ids of the `count` most frequent known words of the training text, counted as the model sees it.

    Ties go to the lower id. Unknown words and the marks are never suggested.
    """
    found = rows(train, tokenizer, steps=steps, for_evaluation=True)
    labels = found.labels[found.weight > 0]
    counts = np.bincount(labels, minlength=tokenizer.size)
    counts[:FIRST_WORD] = -1
    return [int(token) for token in np.argsort(-counts, kind="stable")[:count]]


def most_frequent(train: Iterable[str], held_out: Iterable[str], tokenizer: WordTokenizer, *, steps: int) -> Recall:
    """Return the recall of always suggesting the training text's three most frequent words.

    Counted as the model's `evaluate` does: every word of the first `steps` of each text of `held_out` is one position,
    a word outside the vocabulary is a miss, end marks do not count.

    Example:
        >>> most_frequent(["see you", "you too"], ["you see me"], WordTokenizer(["see", "you", "too"]), steps=20)
        Recall(words=3, top1_hits=1, top3_hits=2)
    """
    return recall_of(frequent_words(train, tokenizer, steps=steps), held_out, tokenizer, steps=steps)


def recall_of(suggested: Sequence[int], held_out: Iterable[str], tokenizer: WordTokenizer, *, steps: int) -> Recall:
    """Return the recall of suggesting the same ids, best first, at every position of `held_out`."""
    found = rows(held_out, tokenizer, steps=steps, for_evaluation=True)
    labels = found.labels[found.weight > 0]
    return Recall(
        words=len(labels),
        top1_hits=int(np.isin(labels, suggested[:1]).sum()),
        top3_hits=int(np.isin(labels, suggested[:3]).sum()),
    )
