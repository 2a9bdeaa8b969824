"""A word list made from text: for simulations only.

Whoever counts the words of people's messages has read them. A fleet's vocabulary is a public list or the operator's
own file and is never gathered from devices (DESIGN.md, promise 3); only a simulation, where all the text lies on one
machine anyway, may build one like this.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from edgewise_edge.tokenizer import FIRST_WORD, WordTokenizer, words_of
from edgewise_wire.errors import ConfigError, DataError


def build_vocabulary(texts: Iterable[str], size: int) -> list[str]:
    """Return the most frequent words of `texts` for a model of vocabulary size `size`, for simulations only.

    The list has `size - 4` words (the model counts four marks as well), fewer if the texts have fewer; the most
    frequent stands first, words of one frequency in alphabetical order.

    Raises:
        ConfigError: if `size` leaves no room for a word.
        DataError: if the texts have no word.

    Example:
        >>> build_vocabulary(["see you", "you there"], size=6)
        ['you', 'see']
    """
    if size <= FIRST_WORD:
        raise ConfigError(f"vocabulary size: expected more than the {FIRST_WORD} marks, got {size}")
    counts = Counter(word for text in texts for word in words_of(text))
    if not counts:
        raise DataError("vocabulary: the texts have no words")
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [word for word, _ in ranked[: size - FIRST_WORD]]


def read_vocabulary(path: Path | str) -> list[str]:
    """Read a word list: one word a line, the most frequent first; blank lines are skipped.

    Raises:
        DataError: if the file cannot be read, or naming the first line that is not a new word of `[a-z0-9']`.
    """
    path = Path(path)
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"vocabulary {path}: cannot be read as text ({error})") from error
    words = [line.strip() for line in lines if line.strip()]
    try:
        return list(WordTokenizer(words).vocabulary)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def write_vocabulary(path: Path | str, words: Iterable[str]) -> None:
    """Write a word list as `read_vocabulary` reads it."""
    Path(path).write_text("".join(f"{word}\n" for word in words), "utf-8")
