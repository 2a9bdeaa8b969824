"""Words become ids by one rule, the one in the golden file that Java reads too."""

import json
from pathlib import Path

import pytest

from edgewise_edge.tokenizer import FIRST_WORD, WordTokenizer, vocabulary_hash, words_of
from edgewise_wire.errors import DataError

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "tokenizer.json").read_text("utf-8"))


@pytest.fixture
def tokenizer() -> WordTokenizer:
    return WordTokenizer(GOLDEN["vocabulary"])


@pytest.mark.parametrize("case", GOLDEN["encode"], ids=lambda case: repr(case["text"]))
def test_the_golden_texts_have_their_words_and_ids(tokenizer: WordTokenizer, case: dict) -> None:
    assert tokenizer.words(case["text"]) == case["words"]
    assert tokenizer.encode(case["text"]) == case["ids"]


def test_the_hash_is_the_golden_one_and_depends_on_order(tokenizer: WordTokenizer) -> None:
    assert tokenizer.hash == GOLDEN["hash"] == vocabulary_hash(GOLDEN["vocabulary"])
    assert vocabulary_hash(reversed(GOLDEN["vocabulary"])) != tokenizer.hash


def test_ids_start_after_the_four_marks(tokenizer: WordTokenizer) -> None:
    assert tokenizer.size == FIRST_WORD + len(GOLDEN["vocabulary"])
    assert tokenizer.vocabulary == tuple(GOLDEN["vocabulary"])
    assert [tokenizer.word(token) for token in range(5)] == ["<pad>", "<unknown>", "<start>", "<end>", "see"]


def test_decode_undoes_encode_for_known_words_and_hides_marks(tokenizer: WordTokenizer) -> None:
    assert tokenizer.decode(tokenizer.encode("see you at 7")) == "see you at 7"
    assert tokenizer.decode([2, 4, 1, 3, 0, 0]) == "see <unknown>"


@pytest.mark.parametrize("token", [-1, 14, 10_000])
def test_an_id_outside_the_vocabulary_is_an_error(tokenizer: WordTokenizer, token: int) -> None:
    with pytest.raises(DataError, match="expected 0 to 13"):
        tokenizer.decode([token])


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ([], "at least one"),
        (["a", "B"], "word 1"),
        (["a", ""], "word 1"),
        (["a", "b c"], "word 1"),
        (["a", "a"], "twice"),
    ],
)
def test_a_bad_vocabulary_is_refused_by_the_word(words: list[str], reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        WordTokenizer(words)


def test_the_two_ways_of_finding_words_agree() -> None:
    ascii_text = "".join(map(chr, range(128)))
    assert words_of(ascii_text) == words_of(ascii_text + "\u00e9")
