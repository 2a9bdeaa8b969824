"""Updates that devices have clipped: each counts the same, and nothing but their noised mean leaves the round."""

from __future__ import annotations

from collections.abc import Sequence

from edgewise_coordinator.algorithms.base import Aggregate
from edgewise_coordinator.collecting.base import CollectionError
from edgewise_coordinator.collecting.plain import PlainUpdates
from edgewise_coordinator.context import Context
from edgewise_coordinator.decoding import Decoder, open_decoder
from edgewise_coordinator.exact_sum import ExactSum
from edgewise_coordinator.model import Model
from edgewise_coordinator.opening import Collect
from edgewise_coordinator.privacy.rounds import PrivateRounds
from edgewise_coordinator.spooled import Spooled
from edgewise_coordinator.state import Report
from edgewise_wire.encodings import clipping_norm
from edgewise_wire.errors import RunError
from edgewise_wire.messages import Assignment


def private_updates(rounds: PrivateRounds) -> Collect:
    """Return the way of collecting that keeps a promise; each round clips to the norm that it was begun with."""

    def collect(context: Context, model: Model, round_id: int) -> PrivateUpdates:
        training = context.settings.training
        decoder = open_decoder(
            context.store, rounds.encoding(training.encoding), context.settings.seed, round_id, model.parameters
        )
        return PrivateUpdates(rounds, context, decoder, model.parameters, round_id)

    return collect


class PrivateUpdates(PlainUpdates):
    """Adds clipped updates up exactly, and adds the noise when the round is closed."""

    def __init__(
        self, rounds: PrivateRounds, context: Context, decoder: Decoder, parameters: int, round_id: int
    ) -> None:
        super().__init__(context.recipe, decoder, parameters, context.settings.uploads.max_norm)
        self._rounds = rounds
        self._store = context.store
        self._round = round_id
        self._sum = ExactSum(parameters)

    @property
    def terms(self) -> int:
        """How many updates were added."""
        return self._sum.terms

    def ask(self, template: Assignment, device: str) -> Assignment:
        """Name the encoding, which clips, and what the device is promised."""
        return self._rounds.ask(super().ask(template, device), self._round)

    def add(self, update: Spooled) -> None:
        """Add a recorded update."""
        self._sum.add_blocks(update.pieces(), 1.0)
        self._decoder.done(update.path)

    def finish(self, reports: Sequence[Report]) -> Aggregate:
        """Return the noised mean.

        Raises:
            CollectionError: if it would pass the budget.
        """
        asked, clip = len(self._store.participants(self._round)), clipping_norm(self._decoder.codec.name)
        try:
            update = self._rounds.mean(self._round, self._sum.units(), clip, reports, asked)
        except RunError as error:
            raise CollectionError(str(error)) from error
        return Aggregate(update, len(reports), len(reports))
