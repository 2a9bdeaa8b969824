"""One person a file: a sentence a line (`.txt`), or JSON lines, each a string or an object with a `text`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from edgewise_edge.readers.sources import Source
from edgewise_wire.errors import DataError


def is_json_lines(lines: Sequence[str], name: str) -> bool:
    """Return whether every one of a file's first lines is a JSON object, LEAF's excepted, or the file is a `.jsonl`."""
    if name.lower().endswith(".jsonl"):
        return True
    values = [_parsed(line) for line in lines]
    return bool(values) and all(isinstance(value, dict) and "user_data" not in value for value in values)


def text_messages(source: Source) -> Iterator[tuple[str, str]]:
    """Yield (file name without suffix, line) for each line."""
    for line in source.lines():
        yield source.stem, line


def json_messages(source: Source) -> Iterator[tuple[str, str]]:
    """Yield (file name without suffix, text) for each line that is not blank.

    Raises:
        DataError: naming the first line that is neither a string nor an object with a `text`.
    """
    for number, line in enumerate(source.lines(), 1):
        if not line.strip():
            continue
        value = _parsed(line)
        text = value.get("text") if isinstance(value, dict) else value
        if not isinstance(text, str):
            raise DataError(f'{source.name}, line {number}: expected a JSON string or an object with a "text"')
        yield source.stem, text


def _parsed(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None
