"""A keyboard that suggests words, as a state machine: letters in, a line and suggestions out. It knows no terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

TEXT_MAX = 2000  # characters of one sentence
ASKED = 50  # suggestions asked for after a word; a model ranks as many as it was exported with


class Word(Protocol):
    """A suggestion."""

    @property
    def word(self) -> str:
        """The word."""


class Suggests(Protocol):
    """What a keyboard needs of a `Predictor`."""

    @property
    def words(self) -> Sequence[str]:
        """Every word, the most frequent first."""

    def suggest(self, text: str, count: int) -> Sequence[Word]:
        """Return the likeliest words after a text."""


class Keyboard:
    """What is being typed, and what may follow.

    While a word is begun, the suggestions are words that begin like it: the model's first, then the vocabulary's. The
    model is asked once a word, not once a letter.

    Args:
        predictor: suggests.
        on_sentence: called with every sentence that Enter ends.
        count: how many suggestions.

    Example:
        >>> keyboard = Keyboard(predictor, sentences.append)                    # doctest: +SKIP
        >>> keyboard.insert("see y"); keyboard.accept(); keyboard.text          # doctest: +SKIP
        'see you '
    """

    def __init__(self, predictor: Suggests, on_sentence: Callable[[str], None], *, count: int = 3) -> None:
        self.text = ""
        self._predictor = predictor
        self._on_sentence = on_sentence
        self._count = count
        self._context: str | None = None
        self._ranked: list[str] = []

    @property
    def suggestions(self) -> list[str]:
        """The words that may come here, likeliest first."""
        context, begun = self._split()
        if context != self._context:
            self._context = context
            self._ranked = [one.word for one in self._predictor.suggest(context, ASKED)]
        found = [word for word in self._ranked if word.startswith(begun)]
        if begun and len(found) < self._count:
            found += [word for word in self._predictor.words if word.startswith(begun) and word not in found]
        return found[: self._count]

    def insert(self, letters: str) -> None:
        """Type letters; what cannot be printed is left out."""
        room = TEXT_MAX - len(self.text)
        self.text += "".join(letter for letter in letters if letter.isprintable())[:room]

    def accept(self, number: int = 0) -> None:
        """Take a suggestion for the word that is begun, or for the next one."""
        suggestions = self.suggestions
        if number < len(suggestions):
            _, begun = self._split()
            self.text = self.text[: len(self.text) - len(begun)] + suggestions[number] + " "

    def erase(self) -> None:
        """Take back a letter."""
        self.text = self.text[:-1]

    def erase_word(self) -> None:
        """Take back a word and the blanks behind it."""
        self.text = self.text.rstrip()
        _, begun = self._split()
        self.text = self.text[: len(self.text) - len(begun)]

    def clear(self) -> None:
        """Take it all back."""
        self.text = ""

    def enter(self) -> None:
        """End the sentence."""
        sentence, self.text = self.text.strip(), ""
        if sentence:
            self._on_sentence(sentence)

    def _split(self) -> tuple[str, str]:
        """Return the words before the one that is begun, and that one in lower case."""
        at = max((n for n, letter in enumerate(self.text) if letter.isspace()), default=-1) + 1
        return self.text[:at], self.text[at:].lower()
