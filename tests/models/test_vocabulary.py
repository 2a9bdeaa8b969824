"""A word list is read as it is, and what the tokenizer would never make is refused by line."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgewise_edge.tokenizer import words_of
from edgewise_models.vocabulary import first_words, read_words
from edgewise_wire.errors import DataError


def write(folder: Path, data: bytes) -> Path:
    path = folder / "words.txt"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("data", [b"the\nto\ni'm\n7\n", b"the\r\nto\r\ni'm\r\n7", b"\xef\xbb\xbfthe\nto\ni'm\n7\n\n\n"])
def test_words_come_in_the_order_of_the_file(tmp_path: Path, data: bytes) -> None:
    words = read_words(write(tmp_path, data))
    assert words == ("the", "to", "i'm", "7")
    assert words_of(" ".join(words)) == list(words)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the vocabulary is empty"),
        (b"\n\n", "the vocabulary is empty"),
        (b"the\nThe\n", "line 2: 'The' is no word"),
        (b"the\n<pad>\n", "line 2: '<pad>' is no word"),
        (b"the\n\nto\n", "line 2: '' is no word"),
        (b"the\nto you\n", "line 2: 'to you' is no word"),
        ("the\ncafé\n".encode(), "line 2: 'café' is no word"),
        (b"the\nto\nthe\n", "line 3: 'the' stands on line 1 already"),
        (b"\xff\xfe\x00", "not a text file in UTF-8"),
    ],
)
def test_a_bad_list_is_refused_by_line_and_word(tmp_path: Path, data: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_words(write(tmp_path, data))


def test_a_file_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"absent\.txt: cannot be read: No such file"):
        read_words(tmp_path / "absent.txt")


def test_a_size_takes_the_first_words_and_both_numbers_are_named_when_there_are_too_few() -> None:
    words = ("a", "b", "c", "d")
    assert first_words(words, None, "list") == words
    assert first_words(words, 7, "list") == ("a", "b", "c")
    with pytest.raises(DataError, match="list: 4 words, but a vocabulary of 9 needs 5"):
        first_words(words, 9, "list")
    with pytest.raises(DataError, match="too small"):
        first_words(words, 4, "list")
