"""The rules by which invented people talk, read from `data/*.txt`, and how often each word is to be expected.

    @drink* = coffee, green tea      a list: a comma between alternatives, blanks between words
    @topic.food                      a set of sentences, one a line
    3* fancy a {drink} (now|later)?  three times as likely; {drink} stands for one of its list, (a|b|) for one of these

A `*` after a name means that each person has favourites in it, a `!` that each person always says the same one.
Expectations are sums of products over the rules, so that no text is counted and every machine gets the same order.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from edgewise.corpus.dice import running

Kind: TypeAlias = Literal["shared", "favourites", "constant"]
KINDS: Final[Mapping[str, Kind]] = {"": "shared", "*": "favourites", "!": "constant"}
LOYALTY: Final = 0.7  # the average part of uses of a list in which a person takes a favourite, all alike on average
RANK_SCALE: Final = 20.0  # of a list without weights, the 21st is half as likely as the first

_HEADER = re.compile(r"@([a-z.]+)([*!]?)( =)?(.*)")
_WEIGHT = re.compile(r"(\d+)\* (.*)")
_PART = re.compile(r"\{(?P<ref>[a-z.]+)\}(?P<glue>'s)?|\((?P<choice>[^()]*)\)|(?P<word>[a-z0-9']+)")


@dataclass(frozen=True, slots=True)
class Ref:
    """Stands for one alternative of the rule `name`; `glue` is stuck to its last word."""

    name: str
    glue: str


@dataclass(frozen=True, slots=True)
class Choice:
    """Stands for one of `options`, each as likely."""

    options: tuple[Phrase, ...]


Part: TypeAlias = "str | Ref | Choice"
Phrase: TypeAlias = tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Alternative:
    """One thing that a rule may say."""

    phrase: Phrase
    weight: float
    question: bool


@dataclass(frozen=True, slots=True)
class Rule:
    """One list or set of sentences."""

    name: str
    kind: Kind
    alternatives: tuple[Alternative, ...]


Grammar: TypeAlias = Mapping[str, Rule]


def parse(texts: Iterable[str]) -> dict[str, Rule]:
    """Return the rules of several files by name.

    Raises:
        ValueError: naming the line that is not in the form above, or a name that is defined twice or not at all.
    """
    rules: dict[str, Rule] = {}
    for text in texts:
        for name, kind, items in _blocks(text):
            if name in rules:
                raise ValueError(f"rule {name!r} is defined twice")
            alternatives = tuple(_alternative(item, rank) for rank, item in enumerate(items))
            rules[name] = Rule(name, kind, alternatives)
    for rule in rules.values():
        for name in {ref.name for alternative in rule.alternatives for ref in _refs(alternative.phrase)}:
            if name not in rules:
                raise ValueError(f"rule {rule.name!r} asks for {name!r}, which is not defined")
    return rules


def _blocks(text: str) -> Iterator[tuple[str, Kind, list[str]]]:
    """Yield (name, kind, alternatives as written)."""
    block: tuple[str, Kind, list[str]] | None = None
    is_list = False
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        header = _HEADER.fullmatch(line)
        if header:
            if block:
                yield block
            name, mark, equals, line = header.groups()
            block, is_list = (name, KINDS[mark], []), bool(equals)
        if block is None:
            raise ValueError(f"{line!r} stands before any rule")
        block[2].extend(item.strip() for item in (line.split(",") if is_list else [line]) if item.strip())
    if block:
        yield block


def _alternative(item: str, rank: int) -> Alternative:
    weighted = _WEIGHT.fullmatch(item)
    weight, body = (float(weighted[1]), weighted[2]) if weighted else (1.0, item)
    return Alternative(_phrase(body.rstrip("?")), weight / (1.0 + rank / RANK_SCALE), body.endswith("?"))


def _phrase(text: str) -> Phrase:
    parts: list[Part] = []
    at = 0
    for found in _PART.finditer(text):
        if text[at : found.start()].strip():
            break
        at = found.end()
        if found["ref"]:
            parts.append(Ref(found["ref"], found["glue"] or ""))
        elif found["word"]:
            parts.append(found["word"])
        else:
            parts.append(Choice(tuple(_phrase(option) for option in found["choice"].split("|"))))
    if text[at:].strip():
        raise ValueError(f"{text!r}: cannot be read from {text[at:]!r} on")
    return tuple(parts)


def _refs(phrase: Phrase) -> Iterator[Ref]:
    for part in phrase:
        if isinstance(part, Ref):
            yield part
        elif isinstance(part, Choice):
            for option in part.options:
                yield from _refs(option)


def shares(rule: Rule) -> list[float]:
    """Return how likely each alternative is over all people; the sum is 1."""
    count = len(rule.alternatives)
    if rule.kind == "constant":
        return [1.0 / count] * count
    total = running([alternative.weight for alternative in rule.alternatives])[-1]
    common = [alternative.weight / total for alternative in rule.alternatives]
    if rule.kind == "shared":
        return common
    return [LOYALTY / count + (1.0 - LOYALTY) * share for share in common]


class Expectation:
    """How often each word is to be expected in one use of a rule, over all people."""

    def __init__(self, grammar: Grammar) -> None:
        self._grammar = grammar
        self._known: dict[tuple[str, str], dict[str, float]] = {}

    def of(self, name: str, glue: str = "") -> dict[str, float]:
        """Return word to expected number of times; a `glue` belongs to the last word of each alternative."""
        key = (name, glue)
        if key not in self._known:
            rule = self._grammar[name]
            found: dict[str, float] = {}
            for alternative, share in zip(rule.alternatives, shares(rule), strict=True):
                _add(found, self._phrase(alternative.phrase, glue), share)
            self._known[key] = found
        return self._known[key]

    def _phrase(self, phrase: Sequence[Part], glue: str = "") -> dict[str, float]:
        found: dict[str, float] = {}
        for index, part in enumerate(phrase):
            stuck = glue if index == len(phrase) - 1 else ""
            if isinstance(part, str):
                _add(found, {part + stuck: 1.0}, 1.0)
            elif isinstance(part, Ref):
                _add(found, self.of(part.name, part.glue + stuck), 1.0)
            else:
                for option in part.options:
                    _add(found, self._phrase(option, stuck), 1.0 / len(part.options))
        return found


def _add(into: dict[str, float], more: Mapping[str, float], times: float) -> None:
    for word, count in more.items():
        into[word] = into.get(word, 0.0) + count * times
