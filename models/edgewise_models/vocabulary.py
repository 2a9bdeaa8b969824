"""Word lists from files: one word a line, the most frequent first. Needs no TensorFlow."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from edgewise_wire.errors import DataError

WORD = re.compile(r"[a-z0-9']+")  # what edgewise_edge.tokenizer makes of any text
MARKS = 4
LEAST_WORDS = 3
FILE_BYTES_MAX = 32 << 20


def read_words(path: str | Path) -> tuple[str, ...]:
    """Return the words of a vocabulary file in order; empty lines at its end do not count.

    Raises:
        DataError: if the file cannot be read or has no words; or naming the line of a word that stands twice or that
            the tokenizer never makes (capitals, marks such as `<pad>`, spaces).

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder, "words.txt")
        ...     _ = file.write_text("the\\nto\\nyou\\n")
        ...     read_words(file)
        ('the', 'to', 'you')
    """
    lines = _lines(Path(path))
    seen: dict[str, int] = {}
    for number, word in enumerate(lines, 1):
        if not WORD.fullmatch(word):
            raise DataError(
                f"{path}, line {number}: {word[:40]!r} is no word that the tokenizer makes;"
                " expected a run of a-z, 0-9 and ', in lower case"
            )
        if word in seen:
            raise DataError(f"{path}, line {number}: {word[:40]!r} stands on line {seen[word]} already; remove one")
        seen[word] = number
    return tuple(lines)


def first_words(words: Sequence[str], size: int | None, where: str) -> tuple[str, ...]:
    """Return the words that fill a vocabulary of `size` (four ids are marks); all of them where `size` is `None`.

    Raises:
        DataError: naming both numbers if there are not so many words.
    """
    needed = len(words) if size is None else size - MARKS
    if needed < LEAST_WORDS:
        raise DataError(f"{where}: a vocabulary of {needed} words is too small, expected {LEAST_WORDS} or more")
    if len(words) < needed:
        raise DataError(
            f"{where}: {len(words)} words, but a vocabulary of {size} needs {needed};"
            f" ask for --vocabulary-size {len(words) + MARKS} or give a longer list"
        )
    return tuple(words[:needed])


def _lines(path: Path) -> list[str]:
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            raise DataError(f"{path}: {path.stat().st_size} bytes, a vocabulary has at most {FILE_BYTES_MAX}")
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise DataError(f"{path}: not a text file in UTF-8; expected one word a line") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
    lines = text.rstrip().splitlines()
    if not lines:
        raise DataError(f"{path}: the vocabulary is empty; expected one word a line")
    return lines
