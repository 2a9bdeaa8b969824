"""Where text lies: files, folders of files and zip archives, opened as bounded streams of bytes or lines.

Nothing is ever unpacked to disk and no archive within an archive is opened. All files of one `read_people` share one
budget of `TOTAL_BYTES`, counted after decompression, so that a zip bomb ends as an error and not as a full memory.
"""

from __future__ import annotations

import codecs
import io
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import IO, Final, TypeVar

from edgewise_wire.errors import DataError

_T = TypeVar("_T")

TOTAL_BYTES: Final = 256 * 1024 * 1024  # of decompressed text; the whole NUS SMS corpus is 33 MB
FILES: Final = 100_000
LINE_CHARACTERS: Final = 65_536  # of a line; the rest of a longer one is skipped
HEAD_BYTES: Final = 65_536  # enough to tell a file's form and its encoding's marks
SUFFIXES: Final = (".txt", ".jsonl", ".json", ".xml")

_TOO_BIG = f"expected at most {TOTAL_BYTES // 2**20} MiB of text in all; split it"
_MARKS = (  # the longer ones first: UTF-32's mark begins with UTF-16's
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CONTROL = bytes(code for code in range(32) if code not in b"\t\n\v\f\r\x1a\x1b")


@dataclass(slots=True)
class Budget:
    """How many more bytes may be read."""

    left: int = TOTAL_BYTES

    def take(self, count: int, name: str) -> None:
        """Count bytes that were read.

        Raises:
            DataError: when they are more than what is left.
        """
        self.left -= count
        if self.left < 0:
            raise DataError(f"{name}: {_TOO_BIG}")


@dataclass
class Source:
    """One file: `name` is for people, `stem` its name without folder and suffix."""

    name: str
    stem: str
    opener: Callable[[], IO[bytes]]
    budget: Budget = field(default_factory=Budget)

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes in pieces; they are taken from the budget.

        Raises:
            DataError: if the file is damaged, locked by a password or too large.
        """
        with _translated(self.name), self.opener() as stream:
            while piece := stream.read(HEAD_BYTES):
                self.budget.take(len(piece), self.name)
                yield piece

    def head(self) -> bytes:
        """Return the first `HEAD_BYTES`."""
        with _translated(self.name), self.opener() as stream:
            return stream.read(HEAD_BYTES)

    def lines(self) -> Iterator[str]:
        """Yield the lines without their ends; a file that is not text has none."""
        encoding = self.encoding
        if encoding is None:
            return
        with _translated(self.name), self.opener() as stream:
            text = io.TextIOWrapper(stream, encoding, errors="replace")
            while line := text.readline(LINE_CHARACTERS):
                rest = line
                while len(rest) == LINE_CHARACTERS and not rest.endswith("\n"):
                    rest = text.readline(LINE_CHARACTERS)
                yield line.rstrip("\r\n")

    def text(self, most: int) -> str:
        """Return the whole file as text, empty if it is none.

        Raises:
            DataError: if it has more than `most` characters.
        """
        encoding = self.encoding
        if encoding is None:
            return ""
        with _translated(self.name), self.opener() as stream:
            text = io.TextIOWrapper(stream, encoding, errors="replace").read(most + 1)
        if len(text) > most:
            raise DataError(f"{self.name}: expected at most {most:,} characters in one file of this form; split it")
        return text

    @cached_property
    def encoding(self) -> str | None:
        """The encoding: by its mark, else UTF-8, else UTF-16, else Western; `None` if the file is not text.

        The whole file is read once to know, which also takes it from the budget.
        """
        decoder = codecs.getincrementaldecoder("utf-8")()
        guess = _marked(self.head())
        for piece in self.chunks():
            if guess != "utf-8":
                continue
            try:
                decoder.decode(piece)
            except UnicodeDecodeError:
                guess = "cp1252"
        return guess


def _marked(head: bytes) -> str | None:
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return encoding
    return _unmarked_utf16(head) if _binary(head) else "utf-8"


def _binary(data: bytes) -> bool:
    """Return whether this cannot be text of one byte a letter: a zero, or more control codes than slips explain."""
    return 0 in data or len(data.translate(None, _CONTROL)) < 0.98 * len(data)


def _unmarked_utf16(head: bytes) -> str | None:
    """Return the UTF-16 whose every other byte is mostly zero in `head`, as Western text's is; else it is binary."""
    even, odd = head[0::2], head[1::2]
    for encoding, high, low in (("utf-16-le", odd, even), ("utf-16-be", even, odd)):
        if high.count(0) > 0.7 * len(high) and not _binary(low):
            return encoding
    return None


def find_sources(path: Path) -> list[Source]:
    """Return the files to read at `path`: itself, a zip's members, or a folder's own files, sorted by name.

    Of a folder or a zip only files that end in one of `SUFFIXES` count; hidden ones do not, nor do folders in a folder.

    Raises:
        DataError: if there is nothing at `path`, or it is a damaged archive.
    """
    budget = Budget()
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.is_file() and _readable(file.name))
        return [_file(file, budget) for file in _bounded(path, files)]
    if not path.is_file():
        raise DataError(f"{path}: there is no such file or folder")
    if zipfile.is_zipfile(path):
        return _members(path, budget)
    return [_file(path, budget)]


def _file(path: Path, budget: Budget) -> Source:
    return Source(str(path), path.stem, lambda: path.open("rb"), budget)


def _members(path: Path, budget: Budget) -> list[Source]:
    with _translated(str(path)), zipfile.ZipFile(path) as archive:
        names = sorted(entry.filename for entry in archive.infolist() if not entry.is_dir())
    names = [name for name in names if _readable(PurePosixPath(name).name) and not name.startswith("__MACOSX/")]
    return [
        Source(f"{path}:{name}", PurePosixPath(name).stem, _member_opener(path, name), budget)
        for name in _bounded(path, names)
    ]


def _bounded(path: Path, files: list[_T]) -> list[_T]:
    if len(files) > FILES:
        raise DataError(f"{path}: expected at most {FILES:,} files of text, found {len(files):,}; split it")
    return files


def _member_opener(path: Path, name: str) -> Callable[[], IO[bytes]]:
    def opened() -> IO[bytes]:
        with zipfile.ZipFile(path) as archive:  # the member keeps the file open until it is closed itself
            return archive.open(name)

    return opened


def _readable(name: str) -> bool:
    return name.lower().endswith(SUFFIXES) and not name.startswith((".", "~"))


@contextmanager
def _translated(name: str) -> Iterator[None]:
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise DataError(f"{name}: the archive is damaged ({error})") from error
    except (NotImplementedError, RuntimeError) as error:  # how zipfile says "password required" and "unknown method"
        raise DataError(f"{name}: the archive cannot be opened ({error})") from error
    except OSError as error:
        raise DataError(f"{name}: cannot be read ({error.strerror or error})") from error
