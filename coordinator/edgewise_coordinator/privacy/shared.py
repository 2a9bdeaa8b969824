"""Private rounds whose noise the devices add, inside a secure sum: the promise, and what its releases cost.

The coordinator learns a noised sum and nothing else, so the guarantee holds against it, too. It rests on the devices
that are in a sum for certain: the fewest that a round takes, less those that may be in league with the coordinator.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgewise_coordinator.privacy.accounted import AccountedRounds
from edgewise_coordinator.privacy.accounting import Spent, check_delta
from edgewise_coordinator.privacy.skellam import SkellamNoise
from edgewise_wire.errors import ConfigError

KIND = "skellam"


@dataclass(frozen=True, slots=True)
class SharedPrivacy:
    """A promise to each device of a fleet that the others keep with it.

    Attributes:
        noise: of one sum.
        delta: of (ε, δ).
        epsilon: the budget: no sum that would pass it is opened; infinity for none.
        separation: a device takes part in rounds at least so far apart; told to devices, which refuse an earlier one.
        participations: the most rounds that a device takes part in, enforced likewise; 0 for as many as fit.

    Raises:
        ConfigError: if a number is out of its range.
    """

    noise: SkellamNoise
    delta: float = 1e-6
    epsilon: float = math.inf
    separation: int = 1
    participations: int = 0

    def __post_init__(self) -> None:
        check_delta(self.delta)
        if not self.epsilon > 0:
            raise ConfigError(f"epsilon: expected a number above 0, got {self.epsilon}")
        if self.separation < 1 or self.participations < 0:
            raise ConfigError(
                f"separation and participations: expected at least 1 and 0, got {self.separation} and"
                f" {self.participations}"
            )

    @property
    def name(self) -> str:
        """What devices are told of the mechanism."""
        return KIND

    @property
    def kind(self) -> str:
        """The mechanism's name."""
        return KIND

    @property
    def noise_multiplier(self) -> float:
        """The sum's noise over the largest norm of a rounded update."""
        return self.noise.noise_multiplier

    @property
    def asks_within_norm(self) -> bool:
        """Whether devices are asked if their update was within the norm: never, the norm stays."""
        return False

    def cost(self, rounds: list[int]) -> Spent:
        """Return what releases cost a device that is in as many of them as it may; no luck is counted on."""
        sums = -(-len(rounds) // self.separation)
        sums = min(sums, self.participations or sums)
        return Spent(self.noise.epsilon(sums, self.delta), self.delta, self.noise.rho(sums))

    @property
    def assumptions(self) -> str:
        """What the figures rest on, in a sentence."""
        noise = self.noise
        who = "a device may take part in every round"
        if self.separation > 1:
            who = f"a device takes part at most once in {self.separation} rounds, which it enforces itself"
        if self.participations:
            who += f", and in at most {self.participations} rounds in all, likewise"
        return (
            f"{who}; neighbours differ in all that one device ever reports, replaced by zeros; each device adds its"
            f" share of the noise ({KIND}) before it masks its update, and a sum carries all of it with as few as"
            f" {noise.least} of at most {noise.form.cohort} devices in it, {noise.least - noise.honest} of which may"
            " add none; the coordinator is trusted with no update, but not to invent devices, unless an authority apart"
            " from it enrols them; the model's versions and the sums are covered, evaluations are not"
        )

    def terms(self) -> dict[str, Any]:
        """Return what must not change while a run goes on."""
        noise = self.noise
        return {
            "mechanism": KIND, "parameters": [], "clipping": "flat", "clipping_norm": noise.clip,
            "noise_multiplier": noise.noise_multiplier, "value_bits": noise.form.value_bits,
            "range": noise.form.range, "cohort": noise.form.cohort, "least_reports": noise.least, "delta": self.delta,
            "separation": self.separation, "participations": self.participations, "population": 0,
        }  # fmt: skip


class SharedRounds(AccountedRounds):
    """Such a promise in force.

    Args:
        settings: the promise.
        directory: of the run; the ledger is made in it.

    Raises:
        ConfigError: if the run began under other terms.
    """

    def __init__(self, settings: SharedPrivacy, directory: Path) -> None:
        self.settings = settings
        super().__init__(settings, directory)

    @property
    def clip(self) -> float:
        """The clipping norm."""
        return self.settings.noise.clip
