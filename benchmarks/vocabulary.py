#!/usr/bin/env python3
"""How many of a fleet's true top words are found at which ε, on the people of the NUS SMS Corpus.

    python benchmarks/vocabulary.py [--data ../shared/data/nus_sms_en.xml.zip] [--votes 16] [--repeat 5]

Devices' votes, survivors and guarantees are those of `edgewise vocabulary discover`; only the wire is left out, which
tests/integration/test_discovery.py has. Every person is a device and votes in every round of noisy counts. The true top
words are those that most people use. TrieHH is shown on the same people, and on a made-up population in which each
device is one of them, since its guarantee needs a square root of devices.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from edgewise_coordinator.discovery.hitters import (  # noqa: E402
    ALPHABET,
    END,
    Hitters,
    NoisyCounts,
    TrieHH,
    candidates,
    counts_within,
)
from edgewise_edge.readers.people import read_people  # noqa: E402
from edgewise_edge.tokenizer import words_of  # noqa: E402
from edgewise_edge.votes import prolonging  # noqa: E402

CHARACTERS = 10
ROUNDS = CHARACTERS + 1
DELTA = 1e-4  # of 248 people; a fleet takes less
TOPS = (10, 30, 100)


def search(hitters: Hitters, count: Callable[[list[str], int], Counter[str]]) -> set[str]:
    """Return the words that a search finds; `count(found, length)` is what a round's devices vote."""
    found, words = [""], set()
    for length in range(1, ROUNDS + 1):
        survivors = hitters.survivors(candidates(found, ALPHABET), count(found, length))
        words |= {prefix[:-1] for prefix in survivors if prefix.endswith(END)}
        found = [prefix for prefix in survivors if not prefix.endswith(END)]
        if not found:
            break
    return words


def report(name: str, hitters: Hitters, results: list[set[str]], truth: list[str]) -> None:
    """Print a line of the table: means over the repetitions."""
    spent, known = hitters.spent, set(truth)
    cells = [f"{np.mean([len(set(truth[:top]) & words) for words in results]):.1f} of {top}" for top in TOPS]
    false = np.mean([len(words - known) for words in results])
    total = np.mean([len(words) for words in results])
    epsilon = "∞" if spent.epsilon == float("inf") else f"{spent.epsilon:.3g}"
    print(f"| {name} | {epsilon} | {spent.delta:.1g} | {' | '.join(cells)} | {total:.0f} | {false:.1f} |", flush=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data/nus_sms_en.xml.zip")
    parser.add_argument("--votes", type=int, default=16)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--population", type=int, default=1_000_000)
    o = parser.parse_args()
    people = list(read_people(o.data).values())
    used = Counter(word for texts in people for word in {w for text in texts for w in words_of(text)})
    truth = sorted((word for word in used if len(word) <= CHARACTERS), key=lambda word: (-used[word], word))
    rng = np.random.default_rng(0)
    print(f"{len(people)} people, {len(truth)} words of at most {CHARACTERS} characters\n")
    print(f"| how | ε | δ | {' | '.join(f'top {top} found' for top in TOPS)} | words found | of them nobody's |")
    print("| --- | ---: | ---: |" + " ---: |" * (len(TOPS) + 2))
    counted = [Counter(word for text in texts for word in words_of(text)) for texts in people]
    ranked = [sorted(each, key=lambda word, each=each: (-each[word], word)) for each in counted]

    def everyone(found: list[str], length: int) -> Counter[str]:
        return Counter(v for own in ranked for v in prolonging(own, found, length=length, most=o.votes))

    for epsilon in (1.0, 2.0, 4.0, 8.0, 16.0):
        counts = counts_within(epsilon, votes=o.votes, rounds=ROUNDS, delta=DELTA)
        report(f"counts, {o.votes} votes", counts, [search(counts, everyone) for _ in range(o.repeat)], truth)
    plain = NoisyCounts(o.votes, 0.0, ROUNDS, DELTA)
    report(f"counts, {o.votes} votes, no noise", plain, [search(plain, everyone)], truth)

    words = [Counter(w for text in texts for w in words_of(text) if len(w) <= CHARACTERS) for texts in people]
    names = [sorted(each) for each in words if each]
    shares = [np.array([each[w] for w in sorted(each)], float) / sum(each.values()) for each in words if each]

    def sampled(cohort: int) -> Callable[[list[str], int], Counter[str]]:
        def count(found: list[str], length: int) -> Counter[str]:
            known, total = set(found), Counter[str]()
            drawn = np.bincount(rng.integers(len(names), size=cohort), minlength=len(names))
            for own, share, devices in zip(names, shares, drawn, strict=True):
                for word, times in zip(own, rng.multinomial(devices, share), strict=True):
                    prefix = (word + END)[:length]
                    if times and len(prefix) == length and prefix[:-1] in known:
                        total[prefix] += int(times)
            return total

        return count

    small = TrieHH(len(people), 16, 4, ROUNDS)
    report(
        f"TrieHH, {len(people)} devices, 16 a round, θ 4",
        small,
        [search(small, sampled(16)) for _ in range(o.repeat)],
        truth,
    )
    for cohort in (o.population // 200, o.population // 50):
        large = TrieHH(o.population, cohort, 12, ROUNDS)
        found = [search(large, sampled(cohort)) for _ in range(o.repeat)]
        report(f"TrieHH, {o.population:,} devices, {cohort:,} a round, θ 12", large, found, truth)


if __name__ == "__main__":
    main()
