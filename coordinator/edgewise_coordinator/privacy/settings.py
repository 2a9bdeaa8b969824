"""What an operator decides about privacy, checked once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from edgewise_coordinator.privacy.accounting import Sampled, Spent, check_delta, of_mechanism, of_sampled
from edgewise_coordinator.privacy.clipping import Clipping
from edgewise_coordinator.privacy.mechanisms.base import Mechanism
from edgewise_wire.errors import ConfigError


@dataclass(frozen=True, slots=True)
class PrivacySettings:
    """A promise to each device of a fleet.

    Attributes:
        mechanism: makes the noise.
        clipping: the norm that devices clip their updates to.
        noise_multiplier: z, the noise's standard deviation over the clipping norm; 0 clips and adds nothing.
        delta: of (ε, δ).
        epsilon: the budget: no release that would pass it is made; infinity for none.
        separation: a device takes part in rounds at least so far apart; told to devices, which refuse an earlier one.
        population: how many devices there are, where each round's are a uniform sample of them; 0 counts on no luck.
        participations: the most rounds that a device takes part in, which it enforces itself; 0 for as many as fit.

    Raises:
        ConfigError: if a number is out of its range, or they do not go together.
    """

    mechanism: Mechanism
    clipping: Clipping
    noise_multiplier: float
    delta: float = 1e-6
    epsilon: float = math.inf
    separation: int = 1
    population: int = 0
    participations: int = 0

    def __post_init__(self) -> None:
        check_delta(self.delta)
        if not 0 <= self.noise_multiplier < math.inf:
            raise ConfigError(f"noise multiplier: expected a number of at least 0, got {self.noise_multiplier}")
        if not self.epsilon > 0:
            raise ConfigError(f"epsilon: expected a number above 0, got {self.epsilon}")
        if self.separation < self.mechanism.least_separation:
            raise ConfigError(
                f"{self.mechanism.name} with --separation {self.separation}: expected at least"
                f" {self.mechanism.least_separation}, or a device's reports would share noise"
            )
        if self.population and not self.mechanism.independent:
            raise ConfigError(
                f"{self.mechanism.name} with --population: sampling does not amplify noise that later rounds take back;"
                " its guarantee rests on --separation"
            )
        if self.population < 0 or (self.population and self.delta * self.population > 1):
            raise ConfigError(f"delta: expected less than 1 / population, got {self.delta:g} for {self.population}")
        if self.participations < 0 or (self.participations and self.population):
            raise ConfigError(
                f"participations: expected at least 0, and no --population beside them, got {self.participations}"
            )
        if self.clipping.asks and not self.clipping.bit_noise > self.noise_multiplier / 2:
            raise ConfigError(
                f"adaptive clipping: the bits' noise {self.clipping.bit_noise:g} is too little beside a noise"
                f" multiplier of {self.noise_multiplier:g}; use a larger cohort, or a fixed --clip-norm"
            )

    @property
    def name(self) -> str:
        """What devices are told of the mechanism."""
        return self.kind if self.noise_multiplier else ""

    @property
    def kind(self) -> str:
        """The mechanism's name."""
        return self.mechanism.name

    @property
    def asks_within_norm(self) -> bool:
        """Whether devices are asked if their update was within the norm."""
        return self.clipping.asks

    def cost(self, rounds: list[int]) -> Spent:
        """Return what releases cost so far; `rounds` says how many devices each of them asked."""
        if not self.population:
            return of_mechanism(
                self.mechanism, self.noise_multiplier, len(rounds), delta=self.delta, separation=self.separation,
                participations=self.participations or None,
            )  # fmt: skip
        shares = [min(1.0, asked / self.population) for asked in rounds]
        runs = [Sampled(shares.count(share), self.noise_multiplier, share) for share in sorted(set(shares))]
        return of_sampled(runs, delta=self.delta)

    @property
    def assumptions(self) -> str:
        """What the figures rest on, in a sentence."""
        if self.population:
            who = f"each round's devices are a uniform sample of {self.population}"
        elif self.separation > 1:
            who = f"a device takes part at most once in {self.separation} rounds, which it enforces itself"
        else:
            who = "a device may take part in every round"
        if self.participations:
            who += f", and in at most {self.participations} rounds in all, which it enforces itself"
        return (
            f"{who}; neighbours differ in all that one device ever reports, replaced by zeros; the coordinator adds the"
            f" noise ({self.mechanism.name}) and is trusted with the updates; the model's versions are covered,"
            " evaluations and training losses are not"
        )

    def terms(self) -> dict[str, Any]:
        """Return what must not change while a run goes on."""
        return {
            "mechanism": self.mechanism.name,
            "parameters": list(self.mechanism.parameters),
            "clipping": self.clipping.name,
            "noise_multiplier": self.noise_multiplier,
            "delta": self.delta,
            "separation": self.separation,
            "population": self.population,
            **({"participations": self.participations} if self.participations else {}),
        }
