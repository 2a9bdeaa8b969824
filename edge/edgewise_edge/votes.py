"""A device's votes for the fleet's words: prefixes of its own that prolong what was found so far."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from edgewise_edge.tokenizer import words_of

END = "\n"  # votes for a word that is over, in the place of its next character
WORD_CHARACTERS = 32  # longer ones are no words


def votes(texts: Iterable[str], found: Sequence[str], *, length: int, most: int, rng: np.random.Generator) -> list[str]:
    """Return at most `most` different prefixes of `length` characters (the end mark counted), the likeliest first.

    Args:
        texts: the device's own.
        found: the prefixes one shorter; of length 1 everything may be voted for.
        length: of the votes.
        most: 1 draws a word as likely as it is frequent (TrieHH); more takes the most frequent words.
        rng: for the draw.

    Example:
        >>> votes(["so so it is"], ["s", "i"], length=2, most=2, rng=np.random.default_rng(0))
        ['so', 'is']
    """
    counted = Counter(word for text in texts for word in words_of(text) if len(word) <= WORD_CHARACTERS)
    if most == 1 and counted:
        words = sorted(counted)
        shares = np.array([counted[word] for word in words], np.float64)
        ranked = [words[int(rng.choice(len(words), p=shares / shares.sum()))]]
    else:
        ranked = sorted(counted, key=lambda word: (-counted[word], word))
    return prolonging(ranked, found, length=length, most=most)


def prolonging(ranked: Iterable[str], found: Sequence[str], *, length: int, most: int) -> list[str]:
    """Return the first `most` different prefixes of words, in their order, that prolong what was found.

    Example:
        >>> prolonging(["so", "is", "it"], ["i"], length=2, most=8)
        ['is', 'it']
    """
    known, prefixes = set(found), dict[str, None]()
    for word in ranked:
        prefix = (word + END)[:length]
        if len(prefix) == length and (length == 1 or prefix[:-1] in known):
            prefixes[prefix] = None
            if len(prefixes) == most:
                break
    return list(prefixes)
