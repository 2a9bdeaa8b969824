"""How a round's reports become the next version: an algorithm, an aggregator, and what shrinks an update."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from edgewise_coordinator.aggregators.base import Aggregation, Aggregator
from edgewise_coordinator.aggregators.mean import mean
from edgewise_coordinator.algorithms.base import Aggregate, Algorithm, State
from edgewise_coordinator.algorithms.fedavg import fedavg
from edgewise_coordinator.settings import RoundSettings
from edgewise_coordinator.spooled import Check, Spooled
from edgewise_coordinator.update_transforms import Arrival, UpdateTransform, unchanged
from edgewise_wire.errors import ConfigError
from edgewise_wire.transforms import Codec
from edgewise_wire.transforms.compose import check_composition
from edgewise_wire.weights import Flat


class Counted(Protocol):
    """What an aggregate is told of a report."""

    @property
    def examples(self) -> int:
        """How many examples its device trained on."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a coordinator does with updates; each part is free of the others but for what `__post_init__` refuses.

    Raises:
        ConfigError: if the parts contradict one another.
    """

    algorithm: Algorithm = field(default_factory=fedavg)
    aggregator: Aggregator = field(default_factory=mean)
    transform: UpdateTransform = unchanged

    def __post_init__(self) -> None:
        if self.algorithm.client.parts > 1 and self.aggregator.robust:
            raise ConfigError(
                f"{self.algorithm.name} with {self.aggregator.name}: its control variate must be the mean of the"
                " devices' own, which only the aggregator 'mean' gives"
            )
        if self.algorithm.client.parts > 1 and self.transform is not unchanged:
            raise ConfigError(
                f"{self.algorithm.name} with a norm bound or a staleness discount: a shrunk update would no longer"
                " match what its device keeps"
            )

    def check_cohort(self, cohort: RoundSettings) -> None:
        """Check that the smallest round still has enough reports for the aggregator.

        Raises:
            ConfigError: if it has not.
        """
        if cohort.least < self.aggregator.least:
            raise ConfigError(
                f"{self.aggregator.name} needs at least {self.aggregator.least} reports, but a round of this cohort may"
                f" close with {cohort.least}: ask for more with --min-reports or --cohort"
            )

    def check_encoding(self, codec: Codec) -> None:
        """Check that updates in this encoding can be aggregated in this way.

        Raises:
            ConfigError: if they cannot.
        """
        robust = self.aggregator.name if self.aggregator.robust else ""
        variates = self.algorithm.name if self.algorithm.client.parts > 1 else ""
        check_composition(codec, robust=robust, variates=variates)

    def size(self, parameters: int) -> int:
        """Return how many numbers an update has."""
        return parameters * self.algorithm.client.parts

    def start(self, parameters: int) -> Aggregation:
        """Return an empty aggregate."""
        return self.aggregator.start(self.size(parameters))

    def weight(self, examples: int) -> float:
        """Return what a report of so many examples weighs in the aggregate."""
        return 1.0 if self.uniform else float(examples)

    def weigh(
        self, file: Path, parameters: int, examples: int, *, max_norm: float, check: Check | None, staleness: int = 0
    ) -> Spooled:
        """Return a spooled update as a term of the aggregate; it is read once, in pieces.

        Args:
            file: float32[size(parameters)], little-endian.
            parameters: of the model.
            examples: what the device says it trained on.
            max_norm: the most that its L2 norm may be.
            check: sees each piece; `None` for an update that was checked when it came in.
            staleness: how many versions the model has moved on since the device got it.

        Raises:
            InputError: if its length is wrong, a value is NaN or infinite, or its norm is above `max_norm`.
        """
        update = Spooled(file, self.size(parameters), self.weight(examples))
        if check is None and self.transform is unchanged:
            return update
        norm = update.measure(check, max_norm)
        return self.shrink(update, norm, staleness)

    @property
    def uniform(self) -> bool:
        """Whether every report weighs the same."""
        return self.algorithm.client.uniform or self.aggregator.robust

    def shrink(self, update: Spooled, norm: float, staleness: int = 0) -> Spooled:
        """Return an update of this L2 norm as it counts."""
        return replace(update, factor=self.transform(Arrival(norm, staleness)))

    def aggregate(self, total: Aggregation, reports: Sequence[Counted]) -> Aggregate:
        """Return what a round's reports come to."""
        return Aggregate(total.result(), len(reports), sum(report.examples for report in reports))

    def state_of(self, weights: Flat, found: State) -> State:
        """Return the state to go on with: the one that was found, unless another algorithm left it."""
        fresh = self.algorithm.init(weights)
        return found if set(found) == set(fresh) else fresh
