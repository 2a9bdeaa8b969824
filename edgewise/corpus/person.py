"""One invented person: what they talk about, their favourites, friends and phrases, and how they type."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from edgewise.corpus.dice import Dice, running
from edgewise.corpus.grammar import LOYALTY, Choice, Grammar, Phrase, Ref, Rule
from edgewise.corpus.spelling import CONSTANCY, Variants

# How often people in general come to a topic; those not named here are somebody's own interests.
EVERYDAY: Final[Mapping[str, float]] = {
    "topic.meet": 9.0,
    "topic.reply": 9.0,
    "topic.late": 7.0,
    "topic.greet": 6.0,
    "topic.thanks": 4.0,
    "topic.night": 3.0,
}
INTEREST: Final = 1.6  # of each other topic, on average over people
INTERESTS: Final = 5  # the topics of one's own that a person has: 3 to 7

SAYING: Final = 0.06  # these four are averages over people; each person's own lies between none and twice that
OPENER: Final = 0.18
LINK: Final = 0.16
CLOSER: Final = 0.22
ENDS: Final = ("", "", "", ".", ".", "!", "...", " :)", " :-)", "!!")


_LIKE_YOU = ("uni", "uku", "use", "eu", "one", "once")  # begin with a vowel letter but not with its sound


def with_articles(words: list[str]) -> list[str]:
    """Return the words with `an` for `a` where the next word begins with a vowel."""
    following = [*words[1:], ""]
    return [
        "an" if word == "a" and after[:1] in tuple("aeiou") and not after.startswith(_LIKE_YOU) else word
        for word, after in zip(words, following, strict=True)
    ]


@dataclass(slots=True)
class _Taste:
    """A person's running weights over the alternatives of a rule."""

    totals: list[float]
    favourites: list[int] = field(default_factory=list)
    favourite_totals: list[float] = field(default_factory=list)


class Person:
    """Somebody who writes messages, about `topic` alone if one is named; the same arguments give the same ones."""

    def __init__(
        self, seed: int, name: str, grammar: Grammar, short_forms: Variants, slips: Variants, topic: str = ""
    ) -> None:
        self._grammar = grammar
        self._dice = dice = Dice(seed, name)
        self._loyalty = 2 * LOYALTY - 1 + 2 * (1 - LOYALTY) * dice.part()
        self._tastes: dict[str, _Taste] = {}
        self._topics, self._topic_totals = ([topic], [1.0]) if topic else self._choose_topics()
        self._saying, self._opener, self._link, self._closer = (
            2 * average * dice.part() for average in (SAYING, OPENER, LINK, CLOSER)
        )
        self._capitals = dice.chance(0.4)
        self._end = ENDS[dice.below(len(ENDS))]
        shorthand = dice.part(2)
        self._short = {w: v[dice.below(len(v))] for w, v in short_forms.items() if dice.chance(shorthand)}
        self._slips, self._clumsiness = slips, 0.12 * dice.part(3)

    def message(self) -> str:
        """Return the next message."""
        dice = self._dice
        if dice.chance(self._saying):
            words, question = self._say("saying")
        else:
            words, question = self._say(self._topics[dice.weighted(self._topic_totals)])
            if dice.chance(self._link):
                more, question = self._say(self._topics[dice.weighted(self._topic_totals)])
                words = [*words, *self._say("link")[0], *more]
            if dice.chance(self._opener):
                words = [*self._say("opener")[0], *words]
            if dice.chance(self._closer):
                words = [*words, *self._say("closer")[0]]
        return self._typed(words, question)

    def _choose_topics(self) -> tuple[list[str], list[float]]:
        """Everyone meets, replies and says good night; beyond that a person keeps to a few interests."""
        own = [name for name in self._grammar if name.startswith("topic.") and name not in EVERYDAY]
        count = INTERESTS - 2 + self._dice.below(5)
        chosen = [own[index] for index in self._dice.some(count, len(own))]
        names = [*EVERYDAY, *chosen]
        interest = INTEREST * len(own) / INTERESTS
        average = [*EVERYDAY.values(), *[interest] * len(chosen)]
        return names, running([weight * (0.25 + 1.5 * self._dice.part()) for weight in average])

    def _say(self, name: str) -> tuple[list[str], bool]:
        """Return the words of one use of a rule, and whether it asks something."""
        rule = self._grammar[name]
        alternative = rule.alternatives[self._pick(rule)]
        return self._words(alternative.phrase), alternative.question

    def _pick(self, rule: Rule) -> int:
        taste = self._tastes.get(rule.name)
        if taste is None:
            taste = self._tastes[rule.name] = self._taste(rule)
        if taste.favourites and (rule.kind == "constant" or self._dice.chance(self._loyalty)):
            return taste.favourites[self._dice.weighted(taste.favourite_totals)]
        return self._dice.weighted(taste.totals)

    def _taste(self, rule: Rule) -> _Taste:
        dice, count = self._dice, len(rule.alternatives)
        if rule.kind == "shared":  # sentences: some come often from this person and some hardly ever
            return _Taste(running([a.weight * (0.1 + 3.6 * dice.part(3)) for a in rule.alternatives]))
        favourites = dice.some(1 if rule.kind == "constant" else 2 + dice.below(5), count)
        weights = [1.0 / (rank + 1) for rank in range(len(favourites))]
        return _Taste(running([a.weight for a in rule.alternatives]), favourites, running(weights))

    def _words(self, phrase: Phrase) -> list[str]:
        words: list[str] = []
        for part in phrase:
            if isinstance(part, str):
                words.append(part)
            elif isinstance(part, Ref):
                words.extend(self._say(part.name)[0])
                words[-1] += part.glue
            elif isinstance(part, Choice):
                words.extend(self._words(part.options[self._dice.below(len(part.options))]))
        return words

    def _typed(self, words: list[str], question: bool) -> str:
        text = " ".join(self._spelt(word) for word in with_articles(words))
        if self._capitals:
            text = text[0].upper() + text[1:]
        return text + ("?" if question else self._end)

    def _spelt(self, word: str) -> str:
        if word in self._short and self._dice.chance(CONSTANCY):
            word = self._short[word]
        if word in self._slips and self._dice.chance(self._clumsiness):
            others = self._slips[word]
            word = others[self._dice.below(len(others))]
        return word
