"""Reads the files of a run and of its data; whatever is wrong with one is one sentence that names it."""

from __future__ import annotations

import json
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from edgewise_wire.errors import DataError
from edgewise_wire.weights import Array


def read_arrays(path: Path) -> dict[str, Array]:
    """Return the arrays of a `.npz`, by name.

    Raises:
        DataError: if it is not there, or is none, or holds Python objects, which are code.
    """
    try:
        if not zipfile.is_zipfile(path):
            raise DataError(f"{path}: {'is no .npz file' if path.exists() else 'is not there'}")
        with np.load(path, allow_pickle=False) as found:
            return {name: found[name] for name in found.files}
    except ValueError as error:  # NumPy's own words advise to read what nobody should
        raise DataError(f"{path}: expected arrays of numbers and text, got one of Python objects") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path}: a damaged .npz file ({error})") from error


def read_object(path: Path) -> dict[str, Any]:
    """Return the object that a JSON file holds.

    Raises:
        DataError: if it cannot be read, or holds none.
    """
    return _parsed(str(path), _text(path))


def read_lines(path: Path, count: int | None = None) -> list[dict[str, Any]]:
    """Return the objects of a file with one in each line, the first `count` of them if it is given.

    Raises:
        DataError: if it cannot be read, has fewer lines, or a line is none.
    """
    lines = _text(path).splitlines()[:count]
    if count is not None and len(lines) < count:
        raise DataError(f"{path}: expected {count} lines, got {len(lines)}")
    return [_parsed(f"{path}, line {number}", line) for number, line in enumerate(lines, 1)]


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: expected text in UTF-8") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error


def _parsed(place: str, text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise DataError(f"{place}: damaged; expected JSON, got {text!r:.40}") from error
    if not isinstance(found, dict):
        raise DataError(f"{place}: expected a JSON object, got {found!r:.40}")
    return found
