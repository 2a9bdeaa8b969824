"""Text to word ids and back: the one rule that devices, the simulator and Android share.

A word is a run of `[A-Za-z0-9']`, lower-cased; everything else only separates. Only ASCII letters are lower-cased, so
that no language's Unicode tables decide an id. `tests/golden/tokenizer.json` holds examples that every client passes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from edgewise_wire.errors import DataError
from edgewise_wire.manifest import vocabulary_hash

__all__ = ["END", "FIRST_WORD", "PAD", "START", "UNKNOWN", "WordTokenizer", "vocabulary_hash", "words_of"]

PAD: Final = 0
UNKNOWN: Final = 1
START: Final = 2
END: Final = 3
FIRST_WORD: Final = 4  # ids below it are marks; no ranking may contain them

_RUN = re.compile(r"[A-Za-z0-9']+")
_WORD = re.compile(r"[a-z0-9']+")


def words_of(text: str) -> list[str]:
    """Return the words of `text` in order, known or not.

    Example:
        >>> words_of("See you at 7, Anna's!")
        ['see', 'you', 'at', '7', "anna's"]
    """
    if text.isascii():
        return _WORD.findall(text.lower())
    return [run.lower() for run in _RUN.findall(text)]


class WordTokenizer:
    """Maps words to ids: 0 padding, 1 unknown word, 2 start mark, 3 end mark, then `words` from 4 on in their order.

    Raises:
        DataError: if a word is not one (`[a-z0-9']+`), stands twice, or there is none.

    Example:
        >>> tokenizer = WordTokenizer(["see", "you"])
        >>> tokenizer.encode("See you there")
        [4, 5, 1]
        >>> tokenizer.decode([4, 5])
        'see you'
    """

    def __init__(self, words: Sequence[str]) -> None:
        self._words = tuple(words)
        self._ids = {word: FIRST_WORD + index for index, word in enumerate(self._words)}
        if not self._words:
            raise DataError("vocabulary: expected at least one word, got none")
        for index, word in enumerate(self._words):
            if not _WORD.fullmatch(word):
                raise DataError(f"vocabulary word {index}: expected a-z, 0-9 and ' only, got {word[:40]!r}")
            if self._ids[word] != FIRST_WORD + index:
                raise DataError(f"vocabulary word {index}: {word[:40]!r} stands twice")

    @property
    def size(self) -> int:
        """The model's vocabulary size V: the four marks and the words."""
        return FIRST_WORD + len(self._words)

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """The words by rank; the id of the first is 4."""
        return self._words

    @property
    def hash(self) -> str:
        """The SHA-256 of the vocabulary in hexadecimal, as the manifest's `vocabulary_hash` has it."""
        return vocabulary_hash(self._words)

    def words(self, text: str) -> list[str]:
        """Return the words of `text`, known or not; `encode` gives each its id."""
        return words_of(text)

    def encode(self, text: str) -> list[int]:
        """Return one id a word, without start and end marks; a word outside the vocabulary is 1."""
        get = self._ids.get
        return [get(word, UNKNOWN) for word in words_of(text)]

    def word(self, token: int) -> str:
        """Return what to show for one id: the word, or `<pad>`, `<unknown>`, `<start>`, `<end>`.

        Raises:
            DataError: if the id is not below `size`.
        """
        if not 0 <= token < self.size:
            raise DataError(f"token id {token}: expected 0 to {self.size - 1}")
        marks = ("<pad>", "<unknown>", "<start>", "<end>")
        return marks[token] if token < FIRST_WORD else self._words[token - FIRST_WORD]

    def decode(self, ids: Iterable[int]) -> str:
        """Return the words of `ids` with a space between; padding and marks vanish, an unknown word is `<unknown>`.

        Raises:
            DataError: if an id is not below `size`.
        """
        return " ".join(self.word(int(token)) for token in ids if int(token) not in (PAD, START, END))
