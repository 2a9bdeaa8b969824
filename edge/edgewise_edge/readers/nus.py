"""The NUS SMS Corpus in its own XML form: `message/text` and `message/source/userProfile/userID`, a person a user id.

Chen and Kan 2013, *Creating a Live, Public Short Message Service Corpus: The NUS SMS Corpus*, Language Resources and
Evaluation 47(2), 299-355. The file streams through expat; a document type declaration, which is where entity bombs and
external files come from, ends the reading before anything in it counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from xml.parsers import expat

from edgewise_edge.readers.sources import Source
from edgewise_wire.errors import DataError

ROOT: Final = "smsCorpus"
TEXT_CHARACTERS: Final = 65_536  # of a message; the rest is skipped
DEPTH: Final = 64
_MESSAGE = [ROOT, "message"]
_TEXT = [*_MESSAGE, "text"]
_USER = [*_MESSAGE, "source", "userProfile", "userID"]
_BEGINNINGS = (b"<?xml", b"<smscorpus", b"<!doctype", b"<html")


def matches(head: bytes) -> bool:
    """Return whether a file that begins so is XML (or HTML, which `messages` refuses by name)."""
    return head.replace(b"\0", b"").lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n").lower().startswith(_BEGINNINGS)


def messages(source: Source) -> Iterator[tuple[str, str]]:
    """Yield (user id, text) a message in file order; a message without a user id or text is left out.

    Raises:
        DataError: if the XML is broken, of another kind, or has a document type declaration.
    """
    corpus = _Corpus(source.name)
    for piece in source.chunks():
        yield from corpus.feed(piece)
    yield from corpus.feed(b"", last=True)


class _Corpus:
    """Follows the tags and gathers the two texts that matter of the message it is in."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._path: list[str] = []
        self._text = self._user = ""
        self._found: list[tuple[str, str]] = []
        self._parser = parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = self._doctype
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._data

    def feed(self, piece: bytes, *, last: bool = False) -> list[tuple[str, str]]:
        """Return the messages that end in `piece`."""
        try:
            self._parser.Parse(piece, last)
        except (expat.ExpatError, ValueError, LookupError) as error:  # the latter two: an unknown encoding
            raise DataError(f"{self._name}: broken XML ({error})") from error
        found, self._found = self._found, []
        return found

    def _doctype(self, *_: object) -> None:
        raise DataError(f"{self._name}: XML with a document type declaration (DOCTYPE) is refused; remove it")

    def _start(self, tag: str, _: dict[str, str]) -> None:
        self._path.append(tag)
        if self._path[0] != ROOT:
            raise DataError(f"{self._name}: XML of another kind: expected the root <{ROOT}>, found <{tag[:40]}>")
        if len(self._path) > DEPTH:
            raise DataError(f"{self._name}: XML nested deeper than {DEPTH} elements is refused")
        if self._path == _MESSAGE:
            self._text = self._user = ""

    def _data(self, data: str) -> None:
        if self._path == _TEXT and len(self._text) < TEXT_CHARACTERS:
            self._text += data
        elif self._path == _USER and len(self._user) < TEXT_CHARACTERS:
            self._user += data

    def _end(self, _: str) -> None:
        if self._path == _MESSAGE and self._user.strip() and self._text.strip():
            self._found.append((self._user.strip(), self._text))
        self._path.pop()
