"""Sums that devices have noised: only a secure way of collecting, on a promise's own terms, can keep it."""

from __future__ import annotations

from edgewise_coordinator.collecting.base import Collection
from edgewise_coordinator.context import Context
from edgewise_coordinator.model import Model
from edgewise_coordinator.opening import Collect
from edgewise_coordinator.privacy.shared import SharedPrivacy
from edgewise_wire.errors import ConfigError
from edgewise_wire.messages import Assignment, SecureTerms
from edgewise_wire.secure.noise import noise_multiplier

CLOSE = 1e-9


def noised_by_devices(promise: SharedPrivacy, way: Collect) -> Collect:
    """Return a way of collecting that makes no round but one whose devices add the noise that is promised."""

    def collect(context: Context, model: Model, round_id: int) -> Collection:
        made = way(context, model, round_id)
        _check(promise, made.ask(Assignment(1), "").secure)
        return made

    return collect


def _check(promise: SharedPrivacy, terms: SecureTerms) -> None:
    noise = promise.noise
    found = noise_multiplier(terms, noise.numbers) if terms.cohort else 0.0
    if found < noise.noise_multiplier * (1 - CLOSE) or terms.clip > noise.clip:
        raise ConfigError(
            f"noise by the devices: expected secure rounds with {noise.noise_multiplier:g} times the norm of at most"
            f" {noise.clip:g}, these have {found:g} times {terms.clip:g}"
        )
