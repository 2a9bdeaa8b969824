"""A word list made from text: for simulations only.

Whoever counts the words of people's messages has read them. A fleet's vocabulary is a public list or the operator's
own file and is never gathered from devices (DESIGN.md, promise 3); only a simulation, where all the text lies on one
machine anyway, may build one like this.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from edgewise_edge.tokenizer import words_of
from edgewise_wire.errors import ConfigError, DataError


def build_vocabulary(texts: Iterable[str], count: int) -> list[str]:
    """Return the `count` most frequent words of `texts` (fewer if they have fewer), for simulations only.

    The most frequent stands first, words of one frequency in alphabetical order. A model counts four marks more.

    Raises:
        ConfigError: if `count` is below 1.
        DataError: if the texts have no word.

    Example:
        >>> build_vocabulary(["see you", "you there"], 2)
        ['you', 'see']
    """
    if count < 1:
        raise ConfigError(f"vocabulary: expected 1 word or more, got {count}")
    counts = Counter(word for text in texts for word in words_of(text))
    if not counts:
        raise DataError("vocabulary: the texts have no words")
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [word for word, _ in ranked[:count]]


def write_vocabulary(path: Path | str, words: Iterable[str]) -> None:
    """Write a word list, one word a line: the form that `edgewise export --vocabulary` reads."""
    Path(path).write_text("".join(f"{word}\n" for word in words), "utf-8", newline="\n")
