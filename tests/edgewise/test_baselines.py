"""The baseline counts words exactly as a plain loop does, with unknown words as misses and end marks left out."""

from collections import Counter

import numpy as np
import pytest

from edgewise.baselines import Recall, frequent_words, most_frequent, recall_of
from edgewise_edge.tokenizer import WordTokenizer

TOKENIZER = WordTokenizer([f"w{n}" for n in range(30)])


def some_sentences(seed: int) -> list[str]:
    rng = np.random.default_rng(seed)
    return [" ".join(f"w{int(n)}" for n in rng.geometric(0.08, rng.integers(0, 30))) for _ in range(300)]


@pytest.mark.parametrize("steps", [3, 20])
def test_recall_equals_a_plain_loop(steps: int) -> None:
    train, held_out = some_sentences(1), some_sentences(2)
    counts = Counter(token for text in train for token in TOKENIZER.encode(text)[:steps] if token >= 4)
    best = sorted(counts, key=lambda token: (-counts[token], token))[:3]
    words = [token for text in held_out for token in TOKENIZER.encode(text)[:steps]]
    found = most_frequent(train, held_out, TOKENIZER, steps=steps)
    assert found == Recall(len(words), sum(w == best[0] for w in words), sum(w in best for w in words))
    assert found.top1 == found.top1_hits / len(words)
    assert 0 < found.top1 < found.top3 < 1


def test_unknown_words_are_never_suggested_and_always_missed() -> None:
    train = ["zzz zzz zzz w1", "zzz w1 w2"]
    assert frequent_words(train, TOKENIZER, steps=20) == [5, 6, 4]
    assert recall_of([5, 6, 4], ["zzz w1", "zzz"], TOKENIZER, steps=20) == Recall(3, 1, 1)


def test_nothing_held_out_is_a_recall_of_zero() -> None:
    found = most_frequent(["w1"], ["", "!?"], TOKENIZER, steps=20)
    assert (found.words, found.top1, found.top3) == (0, 0.0, 0.0)
