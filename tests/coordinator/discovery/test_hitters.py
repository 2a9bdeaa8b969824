import math
from collections import Counter

import numpy as np
import pytest

from edgewise_coordinator.discovery.hitters import NoisyCounts, TrieHH, candidates, counts_within
from edgewise_edge.votes import votes
from edgewise_wire.errors import ConfigError


def test_what_may_be_voted_for_does_not_depend_on_votes() -> None:
    assert candidates([""], "ab") == ["a", "b"]
    assert candidates(["a", "b"], "ab") == ["a\n", "aa", "ab", "b\n", "ba", "bb"]


def test_without_noise_every_prefix_that_anyone_voted_for_survives() -> None:
    assert NoisyCounts(4, 0.0, 3).survivors(["a", "b", "c"], {"a": 1, "c": 2}) == ["a", "c"]


def test_noise_hides_the_few_and_shows_the_many() -> None:
    hitters = NoisyCounts(4, 5.0, 3)
    names = [f"{n:03}" for n in range(500)]
    counts = {names[0]: 400, names[1]: 400}
    found = [hitters.survivors(names, counts) for _ in range(20)]
    assert all({names[0], names[1]} <= set(each) for each in found)  # 400 is 36 standard deviations over the bar
    # Of 9,960 counts of noise alone two are expected above it; more than 20 are, once in 10^14.
    assert sum(len(each) - 2 for each in found) <= 20


def test_the_budget_of_all_rounds_is_met() -> None:
    hitters = counts_within(4.0, votes=16, rounds=11)
    assert 3.9 < hitters.spent.epsilon <= 4.0
    assert hitters.deviation == pytest.approx(4 * hitters.noise_multiplier)


def test_triehh_guarantees_what_its_paper_says() -> None:
    # Zhu et al. 2020, corollary 1, written out for n = 10^6, γ = 1, θ = 10, L = 10.
    hitters = TrieHH(10**6, 1_000, 10, 10)
    assert hitters.spent.epsilon == pytest.approx(10 * math.log(1 + 1 / (1_000 / 10 - 1)))
    assert hitters.spent.delta == pytest.approx(8 / (7 * math.factorial(10)))
    assert hitters.survivors(["a", "b"], {"a": 10, "b": 9}) == ["a"]
    with pytest.raises(ConfigError, match="expected a cohort of 16 to 49"):
        TrieHH(248, 100, 4, 10)


def test_a_device_votes_for_its_most_frequent_words_that_prolong_what_was_found() -> None:
    texts, rng = ["so so it is", "it is so"], np.random.default_rng(0)
    assert votes(texts, [""], length=1, most=8, rng=rng) == ["s", "i"]
    assert votes(texts, ["i"], length=2, most=8, rng=rng) == ["is", "it"]
    assert votes(texts, ["is", "it", "so"], length=3, most=2, rng=rng) == ["so\n", "is\n"]
    assert votes(texts, ["so"], length=4, most=8, rng=rng) == []
    assert votes([], [""], length=1, most=1, rng=rng) == []


def test_with_one_vote_a_word_is_drawn_as_often_as_it_is_written() -> None:
    rng = np.random.default_rng(0)
    drawn = Counter(votes(["so so so it"], [""], length=1, most=1, rng=rng)[0] for _ in range(4_000))
    assert drawn["s"] / 4_000 == pytest.approx(0.75, abs=0.035)  # five standard errors; the dice are fixed
