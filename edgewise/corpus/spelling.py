"""How each person spells: the short forms they keep to and the slips of their thumbs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

SHORT_FORM: Final = 1.0 / 3.0  # the average part of words with short forms for which a person has one
CONSTANCY: Final = 0.92  # how often a person who has one uses it
SLIPS: Final = 0.03  # the average part of words that go wrong, of those that can

Variants = Mapping[str, tuple[str, ...]]


def parse(text: str) -> dict[str, tuple[str, ...]]:
    """Read lines of `word: variant, variant`; lines that begin with # are remarks."""
    found: dict[str, tuple[str, ...]] = {}
    for line in text.splitlines():
        word, colon, variants = line.partition(":")
        if colon and not line.startswith("#"):
            found[word.strip()] = tuple(variant.strip() for variant in variants.split(",") if variant.strip())
    return found


def respelt(expected: Mapping[str, float], short_forms: Variants, slips: Variants) -> dict[str, float]:
    """Return how often each spelling is to be expected, given how often each word is."""
    return _moved(_moved(expected, short_forms, SHORT_FORM * CONSTANCY), slips, SLIPS)


def _moved(expected: Mapping[str, float], variants: Variants, part: float) -> dict[str, float]:
    found: dict[str, float] = {}
    for word, count in expected.items():
        others = variants.get(word, ())
        found[word] = found.get(word, 0.0) + count * (1.0 - part if others else 1.0)
        for other in others:
            found[other] = found.get(other, 0.0) + count * part / len(others)
    return found
