"""The split of the NUS SMS corpus that every figure of this benchmark is about.

Each person's messages in file order: the first 80 % train, the next 10 % validate, the last 10 % test; people with
fewer than ten messages only train. The vocabulary is the `vocabulary` most frequent words of the training messages.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from edgewise_edge.next_word import Rows, rows
from edgewise_edge.readers import People
from edgewise_edge.tokenizer import WordTokenizer, words_of

STEPS = 20  # words of a message that count
FEWEST = 10  # messages of a person who is tested
WORDS = 10_000


@dataclass(frozen=True, slots=True)
class Text:
    """Which text results are of: its digest, and how it is spread over people."""

    sha256: str
    people: int
    messages: int
    of_three: int  # messages, of the three who wrote most
    tested: int  # people, with `FEWEST` messages or more


@dataclass(frozen=True, slots=True)
class Split:
    """Messages by person, the words that the model knows, and how many words of a message count."""

    train: dict[str, list[str]]
    validation: dict[str, list[str]]
    test: dict[str, list[str]]
    tokenizer: WordTokenizer
    steps: int

    def rows(self, part: dict[str, list[str]], *, for_evaluation: bool) -> Rows:
        """Return all messages of a part as rows of ids, person after person."""
        messages = (message for person in part.values() for message in person)
        return rows(messages, self.tokenizer, steps=self.steps, for_evaluation=for_evaluation)


def text_of(people: People) -> Text:
    """Return the identity of a text. It is that of what a split reads, whatever file that came from.

    The digest is the SHA-256 of a line of JSON a person, `["name", ["message", …]]` in ASCII, people and messages in
    their order: the order of people decides which messages a share of the text has.
    """
    digest = hashlib.sha256()
    for person in people.items():
        digest.update(json.dumps(person).encode() + b"\n")
    sizes = sorted((len(messages) for messages in people.values()), reverse=True)
    return Text(digest.hexdigest(), len(sizes), sum(sizes), sum(sizes[:3]), sum(size >= FEWEST for size in sizes))


def split_of(people: People, words: int = WORDS, steps: int = STEPS) -> Split:
    """Return the split of these people's messages."""
    train, validation, test = {}, {}, {}
    for person, messages in people.items():
        n = len(messages)
        first, second = (n * 8 // 10, n * 9 // 10) if n >= FEWEST else (n, n)
        train[person] = messages[:first]
        if n >= FEWEST:
            validation[person], test[person] = messages[first:second], messages[second:]
    tokenizer = WordTokenizer(most_frequent_words(train.values(), words, steps))
    return Split(train, validation, test, tokenizer, steps)


def most_frequent_words(people: Iterable[list[str]], count: int, steps: int) -> list[str]:
    """Return the most frequent words among the first `steps` of each message, ties by spelling."""
    counts = Counter(word for person in people for message in person for word in words_of(message)[:steps])
    return sorted(counts, key=lambda word: (-counts[word], word))[:count]
