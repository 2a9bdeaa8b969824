"""The default corpus: invented people who text each other, so that a fleet has something to learn out of the box.

All of it is written for edgewise: rules and word lists (`data/`) that a seeded generator speaks by. Each person has
their own interests, friends, favourites, spellings and slips, and keeps to them, so devices are visibly not alike and
yet share a language. It is a stand-in, not evidence: results worth quoting come from real text
(`edgewise_edge.readers`).
"""

from __future__ import annotations

from functools import cache
from importlib import resources

from edgewise.corpus import grammar, spelling
from edgewise.corpus.dice import Dice, running
from edgewise.corpus.person import CLOSER, EVERYDAY, INTEREST, LINK, OPENER, SAYING, Person
from edgewise_wire.errors import ConfigError

__all__ = ["generate", "words"]

_NOT_RULES = ("spelling.txt", "typos.txt")


def generate(
    people: int = 200, seed: int = 0, messages: tuple[int, int] = (40, 600), *, apart: bool = False
) -> dict[str, list[str]]:
    """Return `people` people's messages by device name, the same for the same arguments on every machine.

    A person depends on `seed` and their place alone, so ten people are the first ten of two hundred, and a person's
    first messages do not change with `messages`. Most people write little and some a lot.

    Args:
        people: how many.
        seed: another seed gives other people who speak the same language.
        messages: the fewest and the most that a person has written.
        apart: each writes about one topic alone, the topics in turn: devices as unlike as this language allows.

    Raises:
        ConfigError: if there is nobody, or `messages` is not two numbers from 1 up, the lower first.

    Example:
        >>> found = generate(people=2, messages=(3, 5))
        >>> len(found), all(3 <= len(texts) <= 5 for texts in found.values())
        (2, True)
    """
    low, high = messages
    if people < 1 or not 1 <= low <= high:
        raise ConfigError(f"corpus: expected people >= 1 and 1 <= fewest <= most messages, got {people} and {messages}")
    rules, short_forms, slips = _language()
    topics = [name for name in rules if name.startswith("topic.")]
    names = [alternative.phrase[0] for alternative in rules["friend"].alternatives]
    found = {}
    for place in range(people):
        dice = Dice(seed, f"size/{place}")
        count = low + int((high - low + 1) * dice.part(3))
        topic = topics[place % len(topics)] if apart else ""
        person = Person(seed, f"person/{place}", rules, short_forms, slips, topic)
        found[f"{names[dice.below(len(names))]}-{place:03d}"] = [person.message() for _ in range(count)]
    return found


@cache
def _words() -> tuple[str, ...]:
    rules, short_forms, slips = _language()
    expected = grammar.Expectation(rules)
    topics = {name: EVERYDAY.get(name, INTEREST) for name in rules if name.startswith("topic.")}
    total = running(list(topics.values()))[-1]
    uses = {name: (1 + LINK) * weight / total for name, weight in topics.items()}
    uses |= {"saying": SAYING, "opener": OPENER, "link": LINK, "closer": CLOSER}
    frequency: dict[str, float] = {}
    for name, times in uses.items():
        for word, count in expected.of(name).items():
            frequency[word] = frequency.get(word, 0.0) + times * count
    spelt = spelling.respelt(frequency, short_forms, slips)
    return tuple(sorted(spelt, key=lambda word: (-spelt[word], word)))


def words() -> list[str]:
    """Return every word that the generator can say, those to be expected most often first.

    The order comes from the rules, not from anyone's messages: a public list, as a fleet's vocabulary has to be.
    """
    return list(_words())


@cache
def _language() -> tuple[grammar.Grammar, spelling.Variants, spelling.Variants]:
    files = sorted((resources.files("edgewise.corpus") / "data").iterdir(), key=lambda file: file.name)
    texts = {file.name: file.read_text("utf-8") for file in files if file.name.endswith(".txt")}
    rules = grammar.parse(text for name, text in texts.items() if name not in _NOT_RULES)
    return rules, spelling.parse(texts["spelling.txt"]), spelling.parse(texts["typos.txt"])
