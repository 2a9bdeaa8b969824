"""The default corpus: many people who are not alike, one language that can be learnt, the same bytes everywhere."""

import hashlib
import json
from collections import Counter, defaultdict
from itertools import pairwise

import numpy as np
import pytest

from edgewise import corpus
from edgewise.corpus import grammar
from edgewise.corpus.dice import Dice
from edgewise.corpus.person import with_articles
from edgewise_edge.tokenizer import WordTokenizer, words_of
from edgewise_wire.errors import ConfigError
from edgewise_wire.topics import check_name

CORPUS_SHA256 = "af14fef6939e31b5f726f1977b709d675dd23f3c0560741487b76cfbe8b7581c"
WORDS_SHA256 = "4bc892a7c8f470c820a1f5964367d36d2602dd5aed8c51b485be898eb6b137af"


@pytest.fixture(scope="module")
def people() -> dict[str, list[str]]:
    return corpus.generate()


@pytest.fixture(scope="module")
def counts(people: dict[str, list[str]]) -> Counter[str]:
    return Counter(word for texts in people.values() for text in texts for word in words_of(text))


def test_the_bytes_are_the_same_on_every_machine(people: dict[str, list[str]]) -> None:
    assert hashlib.sha256(json.dumps(people).encode()).hexdigest() == CORPUS_SHA256
    assert hashlib.sha256("\n".join(corpus.words()).encode()).hexdigest() == WORDS_SHA256


def test_there_are_two_hundred_people_of_very_different_size(people: dict[str, list[str]]) -> None:
    assert len(people) == 200
    sizes = sorted(map(len, people.values()))
    assert 40 <= sizes[0] < 50
    assert 500 < sizes[-1] <= 600
    assert sizes[len(sizes) // 2] < 200
    for name in people:
        check_name("device", name)


def test_they_use_over_three_thousand_words_all_of_them_in_the_word_list(counts: Counter[str]) -> None:
    assert len(counts) > 3000
    assert set(counts) <= set(corpus.words())


def test_the_word_list_is_a_vocabulary_ordered_as_people_talk(counts: Counter[str]) -> None:
    words = corpus.words()
    assert WordTokenizer(words).size == len(words) + 4
    assert len(set(words[:100]) & {word for word, _ in counts.most_common(100)}) >= 85
    assert sum(counts[word] for word in words[:1000]) > 0.8 * counts.total()
    words.clear()
    assert corpus.words()


def test_the_word_list_needs_nobodys_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(*_: object) -> None:
        raise AssertionError("somebody was asked to talk")

    monkeypatch.setattr(corpus, "Person", nobody)
    corpus._words.cache_clear()
    assert len(corpus.words()) > 3000


def test_a_person_depends_on_seed_and_place_alone(people: dict[str, list[str]]) -> None:
    few = corpus.generate(people=5)
    assert few == dict(list(people.items())[:5])
    short = corpus.generate(people=5, messages=(7, 7))
    assert short == {name: texts[:7] for name, texts in few.items()}
    other = corpus.generate(people=5, seed=1)
    assert set(map(tuple, other.values())).isdisjoint(map(tuple, few.values()))


@pytest.mark.parametrize("asked", [{"people": 0}, {"messages": (0, 5)}, {"messages": (6, 5)}])
def test_an_impossible_wish_is_an_error(asked: dict) -> None:
    with pytest.raises(ConfigError, match="corpus"):
        corpus.generate(**asked)


def _divergence(p: np.ndarray, q: np.ndarray) -> float:
    """Return the Jensen-Shannon divergence of two rows of counts in bits."""
    p, q = p / p.sum(), q / q.sum()
    middle = (p + q) / 2
    logs = [a[a > 0] * np.log2(a[a > 0] / middle[a > 0]) for a in (p, q)]
    return sum(float(log.sum()) for log in logs) / 2


def test_people_are_less_alike_than_the_same_messages_dealt_at_random(
    people: dict[str, list[str]], counts: Counter[str]
) -> None:
    number = {word: index for index, word in enumerate(counts)}
    some = [texts[:150] for texts in people.values() if len(texts) >= 150][:25]
    mixed = [text for texts in some for text in texts]
    np.random.default_rng(0).shuffle(mixed)
    dealt = [mixed[at : at + 150] for at in range(0, len(mixed), 150)]

    def apart(groups: list[list[str]]) -> list[float]:
        rows = [
            np.bincount([number[word] for text in texts for word in words_of(text)], minlength=len(number))
            for texts in groups
        ]
        return [_divergence(p, q) for index, p in enumerate(rows) for q in rows[:index]]

    assert min(apart(some)) > max(apart(dealt))
    assert np.mean(apart(some)) > 1.3 * np.mean(apart(dealt))


def test_interests_and_friends_differ(people: dict[str, list[str]]) -> None:
    favourites = {max(Counter(texts).items(), key=lambda item: item[1])[0] for texts in people.values()}
    assert len(favourites) > 80


def test_the_word_before_tells_much_about_the_next_on_unseen_text(people: dict[str, list[str]]) -> None:
    follows: defaultdict[str, Counter[str]] = defaultdict(Counter)
    common: Counter[str] = Counter()
    held_out = []
    for texts in people.values():
        for number, text in enumerate(texts, 1):
            words = ["", *words_of(text)]
            if number % 5 == 0:
                held_out.append(words)
                continue
            common.update(words[1:])
            for before, word in pairwise(words):
                follows[before][word] += 1
    best = {before: counts.most_common(1)[0][0] for before, counts in follows.items()}
    [(most_common, _)] = common.most_common(1)
    pairs = [pair for words in held_out for pair in pairwise(words)]
    unigram = sum(word == most_common for _, word in pairs) / len(pairs)
    bigram = sum(best.get(before) == word for before, word in pairs) / len(pairs)
    assert unigram < 0.08
    assert bigram > 0.2


def test_much_held_out_text_was_never_seen_whole(people: dict[str, list[str]]) -> None:
    seen = {text for texts in people.values() for number, text in enumerate(texts, 1) if number % 5}
    held_out = [text for texts in people.values() for number, text in enumerate(texts, 1) if number % 5 == 0]
    assert sum(text not in seen for text in held_out) > 0.6 * len(held_out)


def test_expectation_is_the_sum_over_the_rules() -> None:
    rules = grammar.parse(["@who = anna, ben\n", "@say\n3* hi {who}\nlook it's {who}'s (cat|old dog|)\n"])
    found = grammar.Expectation(rules).of("say")
    first = 3 / (3 + 1 / 1.05)
    anna = 1 / (1 + 1 / 1.05)
    assert found["hi"] == pytest.approx(first)
    assert found["anna"] == pytest.approx(first * anna)
    assert found["anna's"] == pytest.approx((1 - first) * anna)
    assert found["dog"] == pytest.approx((1 - first) / 3)
    assert set(found) == {"hi", "anna", "ben", "look", "it's", "anna's", "ben's", "cat", "old", "dog"}


def test_every_topic_of_the_everyday_is_a_rule_and_every_alternative_is_said_in_small_letters() -> None:
    rules, short_forms, slips = corpus._language()
    assert set(corpus.EVERYDAY) <= set(rules)
    for variants in (short_forms, slips):
        for word, others in variants.items():
            assert others
            assert all(words_of(other) == [other] for other in (word, *others))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("@a = {b}\n", "asks for 'b'"),
        ("@a = b\n@a = c\n", "defined twice"),
        ("@a\nwhat! no\n", "cannot be read"),
        ("b\n", "before"),
    ],
)
def test_a_broken_rule_is_named(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        grammar.parse([text])


def test_articles_follow_the_sound() -> None:
    said = "a apple a pear a old uniform a uniform a one way ticket a"
    assert " ".join(with_articles(said.split())) == "an apple a pear an old uniform a uniform a one way ticket a"


def test_dice_are_fair_and_their_own() -> None:
    dice = Dice(0, "x")
    drawn = Counter(dice.weighted([1.0, 1.0, 4.0]) for _ in range(4000))
    assert drawn[1] == 0
    assert drawn[2] / drawn[0] == pytest.approx(3, rel=0.15)
    assert sorted(dice.some(5, 5)) == list(range(5))
    assert len(set(dice.some(3, 10))) == 3
    assert [Dice(0, "x").part() for _ in range(2)] == [Dice(0, "x").part()] * 2
    assert Dice(0, "x").part() != Dice(0, "y").part() != Dice(1, "y").part()
