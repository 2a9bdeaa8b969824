"""Who wrote what, whatever the form it comes in.

`read_people` is the door: it finds every text file under a path, tells each one's form by its content and gathers the
messages by person. A form is one file here with `matches(lines)` or `matches(head)` and `messages(source)`.
"""

from __future__ import annotations

import hashlib
import io
import re
import unicodedata
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import IO, Final, TypeAlias

from edgewise_edge.readers import leaf, nus, plain, whatsapp
from edgewise_edge.readers.sources import TOTAL_BYTES, Source, find_sources
from edgewise_wire.errors import DataError
from edgewise_wire.topics import NAME_MAX, check_name

People: TypeAlias = dict[str, list[str]]
"""A person's device name to their messages, people and messages in the order of their first appearance."""

MESSAGES: Final = 2_000_000  # 160 MB of string headers alone; the NUS SMS corpus has 55,835
PEOPLE: Final = 100_000
FIRST_LINES: Final = 5  # that tell a text file's form
MESSAGE_CHARACTERS: Final = 4096  # what follows is cut off: a model reads the first 20 words or so

FORMS: Final = (
    "the NUS SMS corpus (XML), a WhatsApp chat export, LEAF-style JSON, JSON lines with a text each, "
    "or plain text with a sentence a line; as a file, in a zip, or one file per person in a folder"
)


def read_people(path: Path | str) -> People:
    """Return the messages of each person found at `path`, a file, a zip archive or a folder.

    People stand in the order of their first appearance (files by name, then within the file), and so do each person's
    messages. The names are safe device names; two people never share one. A message is one line without blanks at its
    ends, at most `MESSAGE_CHARACTERS` long.

    Bounds: `TOTAL_BYTES` (256 MiB) after decompression for all files together, of which LEAF's JSON 64 MiB a file,
    `MESSAGES` (two million) messages, `PEOPLE` (100,000) people, lines of 65,536 characters.

    Raises:
        DataError: in one line, naming the file that is missing, damaged, too large, textless or of no form read here.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "anna.txt").write_text("see you\\nat seven\\n")
        ...     read_people(folder)
        {'anna': ['see you', 'at seven']}
    """
    path = Path(path)
    sources = find_sources(path)
    if not sources:
        raise DataError(f"{path}: found no .txt, .jsonl, .json or .xml file; what is read: {FORMS}")
    return _people(path, sources)


def read_stream(stream: IO[bytes], name: str = "standard input") -> People:
    """Return the messages of each person in a stream of any form but a zip; bounds and errors as `read_people`.

    Example:
        >>> read_stream(io.BytesIO(b"see you\\nat seven\\n"), "me")
        {'me': ['see you', 'at seven']}
    """
    data = stream.read(TOTAL_BYTES + 1)
    return _people(Path(name), [Source(name, name, lambda: io.BytesIO(data))])


def _people(path: Path, sources: list[Source]) -> People:
    found = _gather(path, (pair for source in sources for pair in _messages(source)))
    if not found:
        raise DataError(f"{path}: found no text; what is read: {FORMS}")
    return _named(found)


def device_names(people: Iterable[str]) -> dict[str, str]:
    """Return a device name for each person, safe as a topic level and never shared.

    A name keeps its letters, digits, dots, dashes and underscores; one that has none of them becomes `person-` and the
    beginning of its SHA-256. Names that would meet are numbered in the order given.

    Example:
        >>> device_names(["Anna Lee", "Anna-Lee", "+65 9123"])
        {'Anna Lee': 'Anna-Lee', 'Anna-Lee': 'Anna-Lee-2', '+65 9123': '65-9123'}
    """
    names: dict[str, str] = {}
    taken: set[str] = set()
    for person in people:
        base = _slug(person)
        name, number = base, 1
        while name.lower() in taken:  # a device's folder may lie on a file system that ignores case
            number += 1
            suffix = f"-{number}"
            name = base[: NAME_MAX - len(suffix)] + suffix
        taken.add(name.lower())
        names[person] = check_name("device", name)
    return names


def _slug(person: str) -> str:
    plain_letters = unicodedata.normalize("NFKD", person).encode("ascii", "ignore").decode()
    slug = re.sub(r"[^A-Za-z0-9._-]+", "-", plain_letters).strip("-._")[:NAME_MAX]
    return slug or "person-" + hashlib.sha256(person.encode("utf-8", "replace")).hexdigest()[:12]


def _messages(source: Source) -> Iterator[tuple[str, str]]:
    """Yield (person, message) of one file in whichever form it has."""
    head = source.head()
    if nus.matches(head):
        return nus.messages(source)
    lines = list(islice((line for line in source.lines() if line.strip()), FIRST_LINES))
    if whatsapp.matches(lines):
        return whatsapp.messages(source)
    if plain.is_json_lines(lines, source.name):
        return plain.json_messages(source)
    if leaf.matches(lines):
        return leaf.messages(source)
    return plain.text_messages(source)


def _gather(path: Path, pairs: Iterable[tuple[str, str]]) -> People:
    found: People = {}
    count = 0
    for person, message in pairs:
        text = " ".join(message[: 4 * MESSAGE_CHARACTERS].split())[:MESSAGE_CHARACTERS]
        if not text:
            continue
        count += 1
        found.setdefault(person, []).append(text)
        if count > MESSAGES or len(found) > PEOPLE:
            raise DataError(f"{path}: expected at most {MESSAGES:,} messages of {PEOPLE:,} people; split it")
    return found


def _named(found: People) -> People:
    names = device_names(found)
    return {names[person]: messages for person, messages in found.items()}
