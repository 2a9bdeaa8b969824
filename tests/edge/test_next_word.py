"""Sentences become batches of one shape with the weights that training and evaluation ask for."""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from edgewise_edge.next_word import PackedExamples, rows
from edgewise_edge.tokenizer import END, START, UNKNOWN, WordTokenizer
from edgewise_wire.errors import ConfigError

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "tokenizer.json").read_text("utf-8"))
WORDS = [f"w{n}" for n in range(50)]
TOKENIZER = WordTokenizer(WORDS)


def some_sentences(count: int, seed: int = 3) -> list[str]:
    rng = np.random.default_rng(seed)
    return [" ".join(f"w{n}" for n in rng.integers(0, 60, rng.integers(0, 9))) for _ in range(count)]


@pytest.mark.parametrize("case", GOLDEN["rows"], ids=lambda case: case["text"])
def test_the_golden_rows(case: dict) -> None:
    tokenizer = WordTokenizer(GOLDEN["vocabulary"])
    train = rows([case["text"]], tokenizer, steps=5)
    evaluate = rows([case["text"]], tokenizer, steps=5, for_evaluation=True)
    for found in (train, evaluate):
        assert found.tokens.tolist() == [case["tokens"]]
        assert found.labels.tolist() == [case["labels"]]
    assert train.weight.tolist() == [case["train"]]
    assert evaluate.weight.tolist() == [case["evaluate"]]


@pytest.mark.parametrize("for_evaluation", [False, True])
@pytest.mark.parametrize("steps", [1, 4, 20])
def test_rows_equal_a_plain_loop(steps: int, for_evaluation: bool) -> None:
    sentences = some_sentences(200)
    expected = []
    for sentence in sentences:
        ids = [START, *TOKENIZER.encode(sentence), END]
        if len(ids) == 2:
            continue
        tokens, labels = ids[:-1][:steps], ids[1:][:steps]
        weight = [0.0 if for_evaluation and label == END else 1.0 for label in labels]
        blank = [0] * (steps - len(tokens))
        expected.append((tokens + blank, labels + blank, weight + blank))
    found = rows(sentences, TOKENIZER, steps=steps, for_evaluation=for_evaluation)
    assert list(zip(found.tokens.tolist(), found.labels.tolist(), found.weight.tolist(), strict=True)) == expected


def packed(sentences: list[str], *, batch: int, steps: int, for_evaluation: bool = False) -> PackedExamples:
    return PackedExamples(rows(sentences, TOKENIZER, steps=steps, for_evaluation=for_evaluation), batch)


def test_every_batch_has_the_same_shape_and_dtypes_and_what_is_left_has_weight_zero() -> None:
    examples = packed(["w1 w2"] * 5, batch=4, steps=3)
    found = list(examples.batches(np.arange(5)))
    assert len(found) == examples.count(np.arange(5)) == 2
    for batch in found:
        assert {name: (array.dtype.name, array.shape) for name, array in batch.items()} == {
            "tokens": ("int32", (4, 3)),
            "labels": ("int32", (4, 3)),
            "weight": ("float32", (4, 3)),
        }
    assert found[1]["weight"].sum(axis=1).tolist() == [3, 0, 0, 0]
    assert not found[1]["tokens"][1:].any()


def sentences_in(batches: list[dict]) -> list[tuple]:
    """Cut the rows at each start mark."""
    found = []
    for batch in batches:
        for tokens, labels, weight in zip(batch["tokens"], batch["labels"], batch["weight"], strict=True):
            begins = [*np.flatnonzero(tokens == START), np.count_nonzero(tokens)]
            for start, end in pairwise(begins):
                found.append((*tokens[start:end], *labels[start:end], *weight[start:end]))
    return found


@pytest.mark.parametrize("for_evaluation", [False, True])
def test_rows_hold_every_sentence_once_and_whole(for_evaluation: bool) -> None:
    sentences = some_sentences(300)
    alone = rows(sentences, TOKENIZER, steps=8, for_evaluation=for_evaluation)
    expected = []
    for tokens, labels, weight in zip(*alone, strict=True):
        n = np.count_nonzero(tokens)
        expected.append((*tokens[:n], *labels[:n], *weight[:n]))
    examples = packed(sentences, batch=4, steps=8, for_evaluation=for_evaluation)
    order = np.random.default_rng(1).permutation(len(examples))
    found = list(examples.batches(order))
    assert len(found) == examples.count(order)
    assert sorted(sentences_in(found)) == sorted(expected)
    filled = sum(np.count_nonzero(batch["tokens"]) for batch in found[:-1])
    assert filled > 0.9 * 32 * (len(found) - 1)


def test_the_same_order_makes_the_same_batches_and_another_one_others() -> None:
    examples = packed(some_sentences(100), batch=4, steps=8)

    def tokens(seed: int) -> bytes:
        order = np.random.default_rng(seed).permutation(len(examples))
        return b"".join(batch["tokens"].tobytes() for batch in examples.batches(order))

    assert tokens(1) == tokens(1) != tokens(2)


def test_an_unknown_word_counts_in_both() -> None:
    for for_evaluation in (False, True):
        [batch] = packed(["zzz w1"], batch=1, steps=2, for_evaluation=for_evaluation).batches(np.arange(1))
        assert batch["labels"][0, 0] == UNKNOWN
        assert batch["weight"][0, 0] == 1


def test_the_sum_of_evaluation_weights_is_the_number_of_words() -> None:
    sentences = some_sentences(300)
    words = sum(min(len(TOKENIZER.encode(sentence)), 6) for sentence in sentences)
    examples = packed(sentences, batch=16, steps=6, for_evaluation=True)
    assert sum(b["weight"].sum() for b in examples.batches(np.arange(len(examples)))) == words


def test_nothing_to_read_makes_no_batch() -> None:
    examples = packed(["?!", ""], batch=4, steps=2)
    assert (len(examples), examples.count(np.arange(0)), list(examples.batches(np.arange(0)))) == (0, 0, [])


def test_a_size_out_of_range_is_an_error() -> None:
    with pytest.raises(ConfigError, match="batch: expected 1 or more, got 0"):
        packed(["w1"], batch=0, steps=2)
