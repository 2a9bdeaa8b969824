"""The CIFG and an n-gram together: P = λ·P(n-gram) + (1 − λ)·P(CIFG), λ chosen on validation text.

The artifact tells sums and five suggestions, not V probabilities, so the forward pass is NumPy's here; alone (λ = 0) it
must come to the artifact's own recall.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from trigram import Trigram, contexts

from edgewise.baselines import Recall
from edgewise_edge.next_word import Rows
from edgewise_edge.tokenizer import FIRST_WORD
from edgewise_wire.weights import Weights

Floats = NDArray[np.float32]
SHARES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
MESSAGES = 512  # at a time through the recurrent layer
POSITIONS = 1024  # at a time through the softmax: 40 MB of probabilities


class Group(NamedTuple):
    """Messages, and the n-gram that helps with them."""

    ngram: Trigram
    rows: Rows


def mixed(weights: Weights, groups: Iterable[Group], shares: Iterable[float] = SHARES) -> dict[float, Recall]:
    """Return the recall over all word positions of the groups, by the n-gram's share λ; marks are never suggested."""
    shares = list(shares)
    hits = {share: np.zeros(3, np.int64) for share in shares}
    for ngram, rows in groups:
        for own, labels, known in _chunks(weights, ngram, rows):
            for share in shares:
                ranks = _ranks(np.float32(share) * known + np.float32(1 - share) * own, labels)
                hits[share] += [len(labels), (ranks <= 1).sum(), (ranks <= 3).sum()]
    return {share: Recall(*(int(number) for number in found)) for share, found in hits.items()}


def hidden(weights: Weights, tokens: NDArray[np.int32]) -> Floats:
    """Return the hidden state float32[N, T, D] after each token of messages that stand in rows of their own."""
    embedding, width = weights["embedding"], weights["embedding"].shape[1]
    inputs = embedding[tokens] @ weights["lstm_kernel"][:width] + weights["lstm_bias"]
    cell = np.zeros((len(tokens), weights["projection"].shape[0]), np.float32)
    found = np.zeros((*tokens.shape, width), np.float32)
    for step in range(tokens.shape[1]):
        before = found[:, step - 1] if step else found[:, 0]
        forget, candidate, output = np.split(inputs[:, step] + before @ weights["lstm_kernel"][width:], 3, axis=1)
        forget, candidate = _sigmoid(forget), np.tanh(candidate)
        cell = forget * cell + (1 - forget) * candidate
        found[:, step] = (_sigmoid(output) * np.tanh(cell)) @ weights["projection"]
    return found


def _chunks(weights: Weights, ngram: Trigram, rows: Rows) -> Iterator[tuple[Floats, NDArray[np.int64], Floats]]:
    """Yield the model's probabilities, the labels and the n-gram's probabilities of some positions at a time."""
    for first in range(0, len(rows.tokens), MESSAGES):
        some = Rows(*(array[first : first + MESSAGES] for array in rows))
        states = hidden(weights, some.tokens)[some.weight > 0]
        u, v, w = contexts(some)
        for at in range(0, len(w), POSITIONS):
            part = slice(at, at + POSITIONS)
            keys, inverse = np.unique(np.stack([u[part], v[part]]), axis=1, return_inverse=True)
            known = np.stack([ngram.after(*key) for key in keys.T.tolist()]).astype(np.float32)
            own = _softmax(states[part] @ weights["embedding"].T + weights["output_bias"])
            yield own, w[part], known[inverse.reshape(-1)]


def _ranks(probabilities: Floats, labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return each label's rank among the words, a mark last: how many are not less likely."""
    own = probabilities[np.arange(len(labels)), labels][:, None]
    ranks = (probabilities[:, FIRST_WORD:] >= own).sum(1)
    return np.where(labels >= FIRST_WORD, ranks, probabilities.shape[1])


def _sigmoid(x: Floats) -> Floats:
    return np.float32(1) / (np.float32(1) + np.exp(-x))


def _softmax(x: Floats) -> Floats:
    x -= x.max(1, keepdims=True)
    np.exp(x, out=x)
    x /= x.sum(1, keepdims=True)
    return x
