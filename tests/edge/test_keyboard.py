"""The keyboard: suggestions follow what is typed, and the model is asked once a word."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from edgewise_edge.keyboard import TEXT_MAX, Keyboard


class Parrot:
    """After 'see' comes 'you'; else the usual."""

    words = ("the", "you", "your", "me", "yourself", "soon")

    def __init__(self):
        self.asked = []

    def suggest(self, text, count):
        self.asked.append(text)
        ranked = ("you", "me", "the") if text.lower().split()[-1:] == ["see"] else ("the", "me", "soon")
        return [SimpleNamespace(word=word) for word in ranked]


@pytest.fixture
def keyboard():
    made = Keyboard(Parrot(), [].append)
    made.said = made._on_sentence.__self__
    return made


def test_suggestions_follow_the_words_before(keyboard):
    assert keyboard.suggestions == ["the", "me", "soon"]
    keyboard.insert("See ")
    assert keyboard.suggestions == ["you", "me", "the"]


def test_a_word_that_is_begun_is_completed_first_as_the_model_ranks_and_then_as_the_vocabulary(keyboard):
    keyboard.insert("see Yo")
    assert keyboard.suggestions == ["you", "your", "yourself"]
    keyboard.insert("urs")
    assert keyboard.suggestions == ["yourself"]
    keyboard.insert("x")
    assert keyboard.suggestions == []
    keyboard.accept()
    assert keyboard.text == "see Yoursx"


def test_the_model_is_asked_once_a_word(keyboard):
    for letter in "see yo":
        keyboard.insert(letter)
        assert isinstance(keyboard.suggestions, list)
    assert keyboard._predictor.asked == ["", "see "]


def test_taking_suggestions_builds_the_sentence(keyboard):
    keyboard.insert("se")
    keyboard.clear()
    keyboard.insert("see")
    keyboard.insert(" ")
    keyboard.accept()
    keyboard.accept(1)
    assert keyboard.text == "see you me "
    keyboard.enter()
    keyboard.enter()
    assert (keyboard.said, keyboard.text) == (["see you me"], "")


def test_taking_back(keyboard):
    keyboard.insert("see you")
    keyboard.erase()
    assert keyboard.text == "see yo"
    keyboard.erase_word()
    assert keyboard.text == "see "
    keyboard.erase_word()
    keyboard.erase_word()
    keyboard.erase()
    assert keyboard.text == ""


def test_what_a_terminal_would_obey_and_what_has_no_end_is_left_out(keyboard):
    keyboard.insert("a\x1b[2J\x00b" + "x" * 2 * TEXT_MAX)
    assert keyboard.text.startswith("a[2Jbx")
    assert len(keyboard.text) == TEXT_MAX
