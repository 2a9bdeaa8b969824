"""Updates as devices make them, each one seen by the coordinator and folded in as it arrives."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from edgewise_coordinator.algorithms.base import Aggregate
from edgewise_coordinator.collecting.base import Collected
from edgewise_coordinator.context import Context
from edgewise_coordinator.decoding import Decoder, open_decoder
from edgewise_coordinator.machine import RoundMachine
from edgewise_coordinator.model import Model
from edgewise_coordinator.recipe import Recipe
from edgewise_coordinator.spooled import Spooled
from edgewise_coordinator.state import Report
from edgewise_wire.messages import Assignment, Body, UploadRequest


def plain_updates(context: Context, model: Model, round_id: int) -> PlainUpdates:
    """Return the plain way for a training round, in the encoding that it was begun with."""
    settings = context.settings
    numbers = context.recipe.size(model.parameters)
    decoder = open_decoder(context.store, settings.training.encoding, settings.seed, round_id, numbers)
    return PlainUpdates(context.recipe, decoder, model.parameters, settings.uploads.max_norm)


class PlainUpdates:
    """Decodes, checks and adds updates to the recipe's running aggregate.

    Args:
        recipe: how updates are weighed and aggregated.
        decoder: of the round's encoding.
        parameters: of the model.
        max_norm: the most that an update's L2 norm may be.
    """

    pooled = None

    def __init__(self, recipe: Recipe, decoder: Decoder, parameters: int, max_norm: float) -> None:
        self._recipe = recipe
        self._decoder = decoder
        self._parameters = parameters
        self._max_norm = max_norm
        self._total = recipe.start(parameters)

    @property
    def terms(self) -> int:
        """How many updates were added."""
        return self._total.terms

    @property
    def update_bytes(self) -> int:
        """How long an update is as it travels."""
        return self._decoder.bytes

    def ask(self, template: Assignment, device: str) -> Assignment:
        """Name the encoding, and the seed that its randomness comes from."""
        return replace(template, encoding=self._decoder.codec.name, seed=self._decoder.seed)

    def check(self, request: UploadRequest) -> None:
        """Check the encoding. Raises InputError if it is another one."""
        self._decoder.check(request)

    def weigh(self, file: Path, report: Report, staleness: int, *, checked: bool) -> Spooled:
        """Return an update as a term of the sum. Raises InputError or ProtocolError if it cannot be one."""
        plain = self._decoder.plain(report.device, file, report.round_id)
        check = None if checked else self._total.check
        return self._recipe.weigh(
            plain, self._parameters, report.examples, max_norm=self._max_norm, check=check, staleness=staleness
        )

    def add(self, update: Spooled) -> None:
        """Add a recorded update."""
        self._total.add(update)
        if not self._recipe.aggregator.robust:  # which would read it again at the end
            self._decoder.done(update.path)

    def hear(self, device: str, round_id: int, body: Body) -> bool:
        """Take nothing: an update is all that devices say."""
        return False

    def tick(self, machine: RoundMachine) -> Sequence[Collected]:
        """Do nothing."""
        return ()

    def forget(self, device: str) -> None:
        """Do nothing: the upload desk has it all."""

    def finish(self, reports: Sequence[Report]) -> Aggregate:
        """Return the aggregate."""
        return self._recipe.aggregate(self._total, reports)

    def deadline(self) -> float:
        """Return infinity: it waits for nothing."""
        return math.inf

    def end(self) -> None:
        """Do nothing: the spool goes with the round."""
