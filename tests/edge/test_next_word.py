"""Sentences become batches of one shape with the weights that training and evaluation ask for."""

import json
from pathlib import Path

import numpy as np
import pytest

from edgewise_edge.next_word import batches, rows
from edgewise_edge.tokenizer import END, PAD, START, UNKNOWN, WordTokenizer
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


def test_every_batch_has_the_same_shape_and_dtypes_and_the_last_is_filled_with_weight_zero() -> None:
    found = list(batches(["w1 w2"] * 5, TOKENIZER, batch=4, steps=3))
    assert len(found) == 2
    for batch in found:
        assert {name: (array.dtype.name, array.shape) for name, array in batch.items()} == {
            "tokens": ("int32", (4, 3)),
            "labels": ("int32", (4, 3)),
            "weight": ("float32", (4, 3)),
        }
    assert found[1]["weight"].sum(axis=1).tolist() == [3, 0, 0, 0]
    assert not found[1]["tokens"][1:].any()


def test_an_unknown_word_counts_in_both() -> None:
    for for_evaluation in (False, True):
        [batch] = batches(["zzz w1"], TOKENIZER, batch=1, steps=2, for_evaluation=for_evaluation)
        assert batch["labels"][0, 0] == UNKNOWN
        assert batch["weight"][0, 0] == 1


def test_the_sum_of_evaluation_weights_is_the_number_of_words() -> None:
    sentences = some_sentences(300)
    words = sum(min(len(TOKENIZER.encode(sentence)), 6) for sentence in sentences)
    total = sum(b["weight"].sum() for b in batches(sentences, TOKENIZER, batch=16, steps=6, for_evaluation=True))
    assert total == words


def test_an_order_shuffles_every_sentence_once_and_the_same_seed_shuffles_alike() -> None:
    sentences = [f"w{n}" for n in range(50)]

    def first_words(seed: int, **settings: int) -> list[int]:
        order = np.random.default_rng(seed)
        found = list(batches(sentences, TOKENIZER, batch=7, steps=2, order=order, **settings))
        labels = np.concatenate([batch["labels"][:, 0] for batch in found])
        return labels[labels != PAD].tolist()

    assert sorted(first_words(1)) == list(range(4, 54))
    assert first_words(1) == first_words(1) != first_words(2)
    assert first_words(1, max_examples=9) == first_words(1)[:9]


def test_without_an_order_the_first_examples_with_words_are_used() -> None:
    [batch] = batches(["!", "w0", "w1", "w2"], TOKENIZER, batch=4, steps=2, max_examples=2)
    assert batch["labels"][:, 0].tolist() == [4, 5, 0, 0]


def test_nothing_to_read_makes_no_batch() -> None:
    assert list(batches([], TOKENIZER, batch=4, steps=2)) == []
    assert list(batches(["?!", ""], TOKENIZER, batch=4, steps=2, order=np.random.default_rng(0))) == []


@pytest.mark.parametrize("setting", [{"batch": 0}, {"steps": 0}, {"max_examples": -1}])
def test_a_size_out_of_range_is_an_error(setting: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=next(iter(setting))):
        batches(["w1"], TOKENIZER, **{"batch": 2, "steps": 2, **setting})
