"""Which prefixes survive a round of votes, with a guarantee: noisy counts, or TrieHH's sample and threshold.

Both are interactive heavy hitters: a round's survivors are what devices may prolong in the next one, character by
character; a line feed ends a word. Nothing but survivors leaves a round.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from edgewise_coordinator.privacy.accounting import Spent, check_delta, noise_for, of_mechanism
from edgewise_coordinator.privacy.mechanisms.gaussian import gaussian
from edgewise_coordinator.privacy.normals import normals
from edgewise_wire.crypto.keystream import KEY_BYTES
from edgewise_wire.errors import ConfigError

END = "\n"
ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789'"
VOTES_MAX = 64  # of a device in a round: what one report holds


class Hitters(Protocol):
    """How votes become survivors, and what all rounds cost."""

    @property
    def votes(self) -> int:
        """The most votes of a device in a round."""

    @property
    def once(self) -> bool:
        """Whether a device may vote in one round of the run only."""

    @property
    def spent(self) -> Spent:
        """What the planned rounds cost together."""

    @property
    def assumptions(self) -> str:
        """What that rests on, in a sentence."""

    def survivors(self, candidates: Sequence[str], counts: Mapping[str, int]) -> list[str]:
        """Return the candidates that survive, sorted; `counts` says how many devices voted for each."""


def candidates(found: Sequence[str], alphabet: str = ALPHABET) -> list[str]:
    """Return what may be voted for: every found prefix with each character, and with the end mark.

    They do not depend on the votes, so a count of noise alone betrays nothing.

    Example:
        >>> candidates(["a"], "ab")
        ['a\\n', 'aa', 'ab']
    """
    return sorted(prefix + character for prefix in found for character in alphabet + END if prefix or character != END)


@dataclass(frozen=True, slots=True)
class NoisyCounts:
    """Interactive counting: every candidate's count gets Gaussian noise, what stands out of the noise survives.

    A device has at most `votes` votes of 1 in a round, so it moves the counts by √votes. The threshold is what the
    largest of so many counts of noise alone hardly passes; it follows from public numbers and costs nothing.

    Attributes:
        votes: W, 1 to 64.
        noise_multiplier: z, of √W.
        rounds: the most characters of a word, and its end.
        delta: of (ε, δ).
        bar: the threshold as a multiple of √(2 ln(candidates)) standard deviations.
    """

    votes: int
    noise_multiplier: float
    rounds: int
    delta: float = 1e-6
    bar: float = 1.0
    once: bool = False

    def __post_init__(self) -> None:
        check_delta(self.delta)
        if not 1 <= self.votes <= VOTES_MAX:
            raise ConfigError(f"votes: expected 1 to {VOTES_MAX}, got {self.votes}")
        if not 0 <= self.noise_multiplier < math.inf:
            raise ConfigError(f"noise multiplier: expected a number of at least 0, got {self.noise_multiplier}")

    @property
    def deviation(self) -> float:
        """The standard deviation of a count's noise."""
        return self.noise_multiplier * math.sqrt(self.votes)

    @property
    def spent(self) -> Spent:
        """What the rounds cost a device that votes in all of them."""
        return of_mechanism(gaussian(), self.noise_multiplier, self.rounds, delta=self.delta)

    @property
    def assumptions(self) -> str:
        """What that rests on."""
        return (
            f"a device votes in every one of {self.rounds} rounds, at most {self.votes} times in each; neighbours"
            " differ in all votes of one device, replaced by none; the coordinator adds the noise and is trusted with"
            " the votes"
        )

    def survivors(self, candidates: Sequence[str], counts: Mapping[str, int]) -> list[str]:
        """Return the candidates whose noisy count is above the threshold."""
        noise = self.deviation * normals(secrets.token_bytes(KEY_BYTES), 0, 0, len(candidates))
        bar = max(1.0, self.bar * self.deviation * math.sqrt(2 * math.log(max(len(candidates), 2))))
        noisy = np.array([counts.get(each, 0) for each in candidates]) + noise
        return [each for each, count in zip(candidates, noisy, strict=True) if count >= bar]


def counts_within(epsilon: float, *, votes: int, rounds: int, delta: float = 1e-6) -> NoisyCounts:
    """Return the noisy counts whose rounds together cost ε. Raises ConfigError if there are none."""
    z = noise_for(lambda z: NoisyCounts(votes, z, rounds, delta).spent.epsilon, epsilon)
    return NoisyCounts(votes, z, rounds, delta)


@dataclass(frozen=True, slots=True)
class TrieHH:
    """Sampling and a threshold instead of noise (Zhu et al. 2020, "Federated Heavy Hitters Discovery with DP", §4).

    Each round's devices are a uniform sample of the population that has not voted before; each votes once, for its
    word's next character, and a prefix with at least θ votes survives.

    Attributes:
        population: n.
        cohort: m = γ·√n, the devices of a round.
        threshold: θ, at least 4.
        rounds: L, the most characters of a word, and its end.
    """

    population: int
    cohort: int
    threshold: int
    rounds: int
    votes: int = 1
    once: bool = True

    def __post_init__(self) -> None:
        root = math.sqrt(self.population)
        if self.threshold < 4:
            raise ConfigError(f"threshold of TrieHH: expected at least 4, got {self.threshold}")
        if not 1 <= self.cohort / root <= root / (self.threshold + 1):
            raise ConfigError(
                f"TrieHH with {self.population} devices and threshold {self.threshold}: expected a cohort of"
                f" {math.ceil(root)} to {math.floor(self.population / (self.threshold + 1))}, got {self.cohort}"
            )

    @property
    def spent(self) -> Spent:
        """ε = L·ln(1 + 1/(√n/(γθ) − 1)), δ = (θ − 2)/((θ − 3)·θ!) (Zhu et al. 2020, corollary 1)."""
        ratio = self.population / (self.cohort * self.threshold)
        delta = (self.threshold - 2) / ((self.threshold - 3) * math.factorial(self.threshold))
        return Spent(self.rounds * math.log(1 + 1 / (ratio - 1)), delta, math.inf)

    @property
    def assumptions(self) -> str:
        """What that rests on."""
        return (
            f"each round's devices are a uniform sample of {self.population} and vote once in the whole run; neighbours"
            " differ in one device's words; nobody adds noise, and the coordinator is trusted with the votes"
        )

    def survivors(self, candidates: Sequence[str], counts: Mapping[str, int]) -> list[str]:
        """Return the candidates with at least θ votes."""
        return [each for each in candidates if counts.get(each, 0) >= self.threshold]
