"""The model as it stands: its newest version, the algorithm's state beside it, what devices are offered of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from edgewise_coordinator.algorithms.base import Aggregate, State
from edgewise_coordinator.context import Context
from edgewise_coordinator.controls import Controls, forget_controls
from edgewise_coordinator.downlink import Downlink
from edgewise_coordinator.offers import Offer, Offers
from edgewise_coordinator.state import VersionRow
from edgewise_coordinator.versions import Versions
from edgewise_wire.transforms import get
from edgewise_wire.weights import Flat, flatten, parameters, to_bytes, unflatten


class Made(NamedTuple):
    """What a training round made: the version's row, its weights (and before they were shortened), the state."""

    row: VersionRow
    weights: Flat
    exact: Flat
    state: State


class Model:
    """The newest version and the way to the next.

    Attributes:
        version: its number.
        weights: float32[parameters], what devices start from and what is measured.
        exact: what the algorithm made, of which `weights` are what the downlink's encoding left.
        state: the algorithm's.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        settings, recipe = context.settings, context.recipe
        self.parameters = parameters(context.artifact.manifest.weights)
        self.versions = Versions(context.directory / "versions", context.store, self.parameters, context.fault)
        self.downlink = Downlink(context.directory, settings.downlink, self.parameters)
        self.version, self.weights, self.state = self._load()
        self.exact = self.downlink.exact(self.version, self.weights)
        self.offers = Offers(context.publisher, context.artifact, context.store)
        feedback = get(settings.training.encoding).stateful
        self.controls = Controls(recipe.algorithm.client, context.store, feedback=feedback)

    def is_measured(self, version: int) -> bool:
        """Return whether this version is to be evaluated on the devices: every n-th one and the last."""
        settings = self._context.settings
        every = settings.evaluate_every
        return bool(every) and (version % every == 0 or version >= settings.rounds)

    @property
    def evaluation_due(self) -> bool:
        """Whether the newest version is to be evaluated, and was not yet."""
        return self.is_measured(self.version) and self.version > int(self._context.store.recall("evaluated", "-1"))

    @property
    def all_made(self) -> bool:
        """Whether every version that was asked for exists."""
        return self.version >= self._context.settings.rounds

    def offer(self, older: Iterable[int]) -> Offer:
        """Put the newest version on offer, keep the `older` ones that somebody still works on, and take off others."""
        older = set(older) - {self.version}
        for version in sorted(older):
            self.offers.put(version, self.versions.path(version))
        control, steps = self.controls.blob(self.state), self.downlink.steps(self.version, self.weights)
        newest = self.offers.put(self.version, to_bytes(self.weights), control, steps)
        self.offers.keep({self.version, *older})
        return newest

    def step(self, aggregate: Aggregate) -> tuple[Flat, State]:
        """Return the next weights (before they are shortened) and the algorithm's next state."""
        return self._context.recipe.algorithm.step(self.exact, self.state, aggregate)

    def save(self, exact: Flat, state: State, round_id: int) -> Made:
        """Write the next version's files durably; it counts once its row is recorded, and `adopt` makes it the newest.

        Raises:
            UnavailableError: if the disk refuses.
        """
        version = self.version + 1
        weights = self.downlink.publish(version, exact, self.weights)
        name = self.versions.save(version, weights, state)
        row = VersionRow(version, self.version, round_id, name, self._context.clock.wall(), {})
        return Made(row, weights, exact, state)

    def adopt(self, made: Made) -> None:
        """Go on from a version that was recorded."""
        self.version, self.weights, self.state, self.exact = made.row.version, made.weights, made.state, made.exact

    def file(self) -> bytes:
        """Return the model file with the newest weights in it."""
        artifact = self._context.artifact
        return artifact.with_weights(unflatten(self.weights, artifact.manifest.weights))

    def _load(self) -> tuple[int, Flat, State]:
        context, recipe = self._context, self._context.recipe
        version = self.versions.latest()
        if version is None:
            weights = flatten(context.artifact.weights(), context.artifact.manifest.weights)
            state = recipe.algorithm.init(weights)
            weights = self.downlink.publish(0, weights, weights)
            return self.versions.add_first(weights, state, context.clock.wall()), weights, state
        weights, state = self.versions.load(version)
        going_on = recipe.state_of(weights, state)
        if going_on is not state and recipe.algorithm.client.control:
            forget_controls(context.store)
        return version, weights, going_on
