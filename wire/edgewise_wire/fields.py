"""What a message field may hold: the types that the codec writes, reads and bounds.

A field is annotated with one of these aliases; to a type checker they are plain `int`, `float`, `bytes`, `str` or
`tuple`. The codec reads the bound from the annotation, so a message's dataclass is the only place where a limit stands.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, TypeAlias


@dataclass(frozen=True, slots=True)
class Scalar:
    """A FlatBuffers scalar: `code` is its `struct` format character."""

    code: str


@dataclass(frozen=True, slots=True)
class Octets:
    """A byte vector of `least` to `most` bytes."""

    most: int
    least: int = 0


@dataclass(frozen=True, slots=True)
class Utf8:
    """A string of at most `most` bytes of UTF-8."""

    most: int


@dataclass(frozen=True, slots=True)
class Many:
    """A vector of at most `most` tables (or strings)."""

    most: int


Bool: TypeAlias = Annotated[bool, Scalar("?")]
U8: TypeAlias = Annotated[int, Scalar("B")]
U16: TypeAlias = Annotated[int, Scalar("H")]
U32: TypeAlias = Annotated[int, Scalar("I")]
U64: TypeAlias = Annotated[int, Scalar("Q")]
F32: TypeAlias = Annotated[float, Scalar("f")]
F64: TypeAlias = Annotated[float, Scalar("d")]

Hash: TypeAlias = Annotated[bytes, Octets(most=32, least=32)]
"""A SHA-256 digest; an absent one reads as `b''`."""
Name: TypeAlias = Annotated[str, Utf8(most=64)]
Url: TypeAlias = Annotated[str, Utf8(most=256)]
Sentence: TypeAlias = Annotated[str, Utf8(most=512)]
"""Words for people: a reason, a version, an explanation."""
