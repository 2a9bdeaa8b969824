"""LEAF-style JSON: `users`, `num_samples` and `user_data: {user: {"x": [...], "y": [...]}}`.

Caldas et al. 2018, *LEAF: A Benchmark for Federated Settings*, arXiv:1812.01097. An item of `x` may be a text, a list
of tokens or of lists of tokens (Reddit: `<BOS>`, `<PAD>` and their like vanish), or a row of a tweet's fields
(Sentiment140). Shakespeare's windows, each one character on from the one before, are put together again and cut at the
ends of sentences. Labels (`y`) are not read: for text they repeat what `x` says.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

from edgewise_edge.readers.sources import Source
from edgewise_wire.errors import DataError

FILE_CHARACTERS: Final = 64 * 1024 * 1024  # JSON is read whole, and hostile JSON takes 25 times its size in memory
TWEET_FIELD: Final = 4  # Sentiment140's rows: id, date, query, user, text
_SENTENCE = re.compile(r"(?<=[.!?])\s+")
_MARK = re.compile(r"<[A-Za-z_]+>")


def matches(lines: Sequence[str]) -> bool:
    """Return whether a file whose first lines these are is JSON (which `messages` then wants in LEAF's form)."""
    return bool(lines) and lines[0].lstrip().startswith("{")


def messages(source: Source) -> Iterator[tuple[str, str]]:
    """Yield (user, message) in the order of `user_data`.

    Raises:
        DataError: if the file is no JSON, too large, in another form, or holds no text.
    """
    for user, data in _user_data(source).items():
        items = data.get("x") if isinstance(data, dict) else None
        if not isinstance(items, list):
            raise DataError(f'{source.name}: user {user[:40]!r}: expected {{"x": [...], "y": [...]}}')
        for message in _texts(items, source.name):
            yield user, message


def _user_data(source: Source) -> dict[str, Any]:
    text = source.text(FILE_CHARACTERS)
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{source.name}: broken JSON ({error})") from error
    data = whole.get("user_data") if isinstance(whole, dict) else None
    if not isinstance(data, dict):
        raise DataError(f'{source.name}: JSON of another kind: expected LEAF\'s {{"users": ..., "user_data": {{...}}}}')
    return data


def _texts(items: list[Any], name: str) -> Iterator[str]:
    if len(items) > 1 and all(isinstance(item, str) for item in items) and _is_next(items[0], items[1]):
        yield from _unrolled(items)
        return
    for item in items:
        yield _text(item, name)


def _text(item: Any, name: str) -> str:
    if isinstance(item, str):
        return item
    if not isinstance(item, list):
        raise DataError(f"{name}: expected texts or lists of tokens in x, found {type(item).__name__}; is it no text?")
    if _is_tweet(item):
        return str(item[TWEET_FIELD])
    tokens = [token for part in item for token in (part if isinstance(part, list) else [part])]
    if not all(isinstance(token, str) for token in tokens):
        raise DataError(f"{name}: expected words in x, found numbers; this data set is no text")
    return " ".join(token for token in tokens if not _MARK.fullmatch(token))


def _is_tweet(item: list[Any]) -> bool:
    return (
        len(item) > TWEET_FIELD
        and str(item[0]).isdigit()
        and isinstance(item[TWEET_FIELD], str)
        and " " in str(item[1]).strip()  # a date: tokens have no blanks
    )


def _is_next(window: str, following: str) -> bool:
    return len(window) == len(following) > 1 and window[1:] == following[:-1]


def _unrolled(windows: list[str]) -> Iterator[str]:
    """Yield the sentences of the text over which the windows slide; a gap between windows ends a sentence."""
    text = ""
    for index, window in enumerate(windows):
        if index and _is_next(windows[index - 1], window):
            text += window[-1]
        else:
            yield from _SENTENCE.split(text)
            text = window
    yield from _SENTENCE.split(text)
