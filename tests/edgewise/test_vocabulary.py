"""A word list of a simulation holds the most frequent words in a fixed order, in the file that the exporter reads."""

from pathlib import Path

import pytest

from edgewise import vocabulary
from edgewise.vocabulary import build_vocabulary, write_vocabulary
from edgewise_models.vocabulary import read_words
from edgewise_wire.errors import ConfigError, DataError


def test_the_most_frequent_words_come_first_and_ties_by_the_alphabet() -> None:
    texts = ["b a c", "B c!", "b", "d a"]
    assert build_vocabulary(texts, 100) == ["b", "a", "c", "d"]
    assert build_vocabulary(texts, 2) == ["b", "a"]
    assert build_vocabulary(reversed(texts), 100) == ["b", "a", "c", "d"]


@pytest.mark.parametrize("count", [0, -3])
def test_a_list_of_no_words_is_an_error(count: int) -> None:
    with pytest.raises(ConfigError, match="1 word or more"):
        build_vocabulary(["a"], count)


def test_texts_without_words_make_no_vocabulary() -> None:
    with pytest.raises(DataError, match="no words"):
        build_vocabulary(["?!", ""], 10)


def test_the_exporter_reads_what_is_written(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    words = build_vocabulary(["see you, don't go", "you"], 10)
    write_vocabulary(path, words)
    assert path.read_bytes() == b"you\ndon't\ngo\nsee\n"
    assert list(read_words(path)) == words


def test_the_module_says_that_only_a_simulation_may_do_this() -> None:
    assert "simulations only" in (vocabulary.__doc__ or "")
    assert "simulations only" in (build_vocabulary.__doc__ or "")
