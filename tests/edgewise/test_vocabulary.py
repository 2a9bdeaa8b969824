"""A word list of a simulation holds the most frequent words in a fixed order; its file is checked by the line."""

from pathlib import Path

import pytest

from edgewise import vocabulary
from edgewise.vocabulary import build_vocabulary, read_vocabulary, write_vocabulary
from edgewise_wire.errors import ConfigError, DataError


def test_the_most_frequent_words_come_first_and_ties_by_the_alphabet() -> None:
    texts = ["b a c", "B c!", "b", "d a"]
    assert build_vocabulary(texts, 100) == ["b", "a", "c", "d"]
    assert build_vocabulary(texts, 6) == ["b", "a"]
    assert build_vocabulary(reversed(texts), 100) == ["b", "a", "c", "d"]


@pytest.mark.parametrize("size", [4, 0, -3])
def test_a_size_without_room_for_a_word_is_an_error(size: int) -> None:
    with pytest.raises(ConfigError, match="4 marks"):
        build_vocabulary(["a"], size)


def test_texts_without_words_make_no_vocabulary() -> None:
    with pytest.raises(DataError, match="no words"):
        build_vocabulary(["?!", ""], 10)


def test_a_list_comes_back_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    write_vocabulary(path, ["see", "you", "don't"])
    assert path.read_text() == "see\nyou\ndon't\n"
    assert read_vocabulary(path) == ["see", "you", "don't"]
    path.write_bytes("\ufeffsee\r\n\r\nyou \r\n".encode())
    assert read_vocabulary(path) == ["see", "you"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"see\nyou there\n", "word 1"), (b"a\na\n", "twice"), (b"", "at least one"), (b"\xff\xfe\x00", "cannot be read")],
)
def test_a_file_that_is_no_word_list_is_refused_by_name(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "words.txt"
    path.write_bytes(content)
    with pytest.raises(DataError, match=reason) as caught:
        read_vocabulary(path)
    assert str(path) in str(caught.value)
    with pytest.raises(DataError, match="nothing.txt".replace(".", r"\.")):
        read_vocabulary(tmp_path / "nothing.txt")


def test_the_module_says_that_only_a_simulation_may_do_this() -> None:
    assert "simulations only" in (vocabulary.__doc__ or "")
    assert "simulations only" in (build_vocabulary.__doc__ or "")
