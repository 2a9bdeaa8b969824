"""An interpolated Kneser-Ney trigram (Kneser and Ney 1995; Chen and Goodman 1999, §2.7 and §4.1.6), the n-gram to beat.

    P(w | u v) = max(c(u v w) − D₃, 0) / c(u v) + D₃ · N(u v ·) / c(u v) · P(w | v)
    P(w | v)   = max(N(· v w) − D₂, 0) / N(· v ·) + D₂ · N(v ·) / N(· v ·) · P(w)
    P(w)       = N(· w) / N(· ·)

where c counts, N counts different continuations, and D = n₁ / (n₁ + 2 n₂) for each order. Counts stand by sorted keys;
one context's probabilities are a dense row of V.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgewise.baselines import Recall
from edgewise_edge.next_word import Rows
from edgewise_edge.tokenizer import FIRST_WORD, START

Ids = NDArray[np.int64]


class Counts:
    """Keys, sorted, and how often each was seen."""

    def __init__(self, keys: Ids, weights: Ids | None = None) -> None:
        self.keys, inverse = np.unique(keys, return_inverse=True)
        self.counts = np.bincount(inverse, weights).astype(np.int64)

    def discount(self) -> float:
        """Return D = n₁ / (n₁ + 2 n₂), Ney's estimate."""
        once, twice = int((self.counts == 1).sum()), int((self.counts == 2).sum())
        return once / (once + 2 * twice) if once else 0.5

    def below(self, first: int, last: int) -> slice:
        """Return where the keys from `first` up to but without `last` stand."""
        left, right = np.searchsorted(self.keys, [first, last])
        return slice(int(left), int(right))


class Trigram:
    """The model of some rows over V ids.

    Example:
        >>> Trigram(rows, size=10_004).recall(test_rows)                     # doctest: +SKIP
        Recall(words=38969, top1_hits=..., top3_hits=...)
    """

    def __init__(self, train: Rows, size: int) -> None:
        self.size = size
        u, v, w = contexts(train)
        self.three = Counts((u * size + v) * size + w)
        pairs = self.three.keys % (size * size)  # one for each different trigram: continuation counts
        self.two = Counts(pairs)
        self.one = Counts(self.two.keys % size)
        self.d3, self.d2 = self.three.discount(), self.two.discount()
        unigram = np.zeros(size)
        unigram[self.one.keys] = self.one.counts
        self.unigram = unigram / unigram.sum() if len(w) else np.full(size, 1 / size)

    def after(self, u: int, v: int) -> NDArray[np.float64]:
        """Return the probability of each of the V ids after `u v`."""
        size = self.size
        here = self.two.below(v * size, (v + 1) * size)
        found = self._mixed(self.two, here, self.d2, self.unigram)
        here = self.three.below((u * size + v) * size, (u * size + v + 1) * size)
        return self._mixed(self.three, here, self.d3, found)

    def _mixed(self, order: Counts, here: slice, discount: float, lower: NDArray[np.float64]) -> NDArray[np.float64]:
        counts = order.counts[here]
        total = int(counts.sum())
        if not total:
            return lower
        found: NDArray[np.float64] = lower * (discount * len(counts) / total)
        found[order.keys[here] % self.size] += np.maximum(counts - discount, 0) / total
        return found

    def recall(self, test: Rows) -> Recall:
        """Return the recall over every word position of `test`; marks are never suggested."""
        u, v, w = contexts(test)
        keys, inverse = np.unique(u * self.size + v, return_inverse=True)
        order = np.argsort(inverse, kind="stable")
        ends = np.cumsum(np.bincount(inverse))
        top1 = top3 = at = 0
        for key, end in zip(keys.tolist(), ends.tolist(), strict=True):
            found = self.after(*divmod(key, self.size))
            found[:FIRST_WORD] = -1
            best = np.argpartition(-found, 3)[:3]
            best = best[np.lexsort((best, -found[best]))]
            labels = w[order[at:end]]
            top1 += int((labels == best[0]).sum())
            top3 += int(np.isin(labels, best).sum())
            at = end
        return Recall(len(w), top1, top3)


def contexts(found: Rows) -> tuple[Ids, Ids, Ids]:
    """Return u, v, w for each counted position: the two ids before it and its own."""
    tokens = found.tokens.astype(np.int64)
    before = np.full_like(tokens, START)
    before[:, 1:] = tokens[:, :-1]
    counted = found.weight > 0
    return before[counted], tokens[counted], found.labels.astype(np.int64)[counted]
