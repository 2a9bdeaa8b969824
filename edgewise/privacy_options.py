"""The options that say what a run promises of its privacy; shared by the commands."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import click

from edgewise.recipes import Plan
from edgewise_coordinator.privacy.accounting import noise_for
from edgewise_coordinator.privacy.clipping import Clipping, adaptive, flat
from edgewise_coordinator.privacy.opening import begun_terms
from edgewise_coordinator.privacy.planning import MECHANISMS, make_mechanism
from edgewise_coordinator.privacy.settings import PrivacySettings
from edgewise_wire.errors import ConfigError

Command = TypeVar("Command", bound=Callable[..., Any])
BELONGING = (
    "clip_norm", "clip_quantile", "noise_multiplier", "epsilon", "delta", "population", "participations", "bands",
    "restart_every",
)  # fmt: skip

OPTIONS = [
    click.option(
        "--privacy", default="none", show_default=True, type=click.Choice(["none", *MECHANISMS]),
        help="User-level differential privacy: independent noise, tree aggregation, or banded matrix factorisation.",
    ),
    click.option("--clip-norm", type=float, help="Devices clip their updates to this L2 norm. Needed with --privacy."),
    click.option(
        "--clip-quantile", type=float, help="Adapt the norm so that this share of updates is not clipped, such as 0.5."
    ),
    click.option("--noise-multiplier", type=float, help="Standard deviation of the noise over the clipping norm."),
    click.option(
        "--epsilon", type=float, help="The budget: rounds end before it is passed. Sets the noise, if that is not said."
    ),
    click.option("--delta", type=float, help="Of (ε, δ): below 1 / population. [default: 1e-6]"),
    click.option(
        "--population", type=int,
        help="With dp-fedavg: so many devices there are, and each round's are a uniform sample of them.",
    ),
    click.option(
        "--participations", type=int,
        help="Most rounds of the run that a device takes part in; devices refuse more.  [default: as many as fit]",
    ),
    click.option("--bands", type=int, help="Of dp-mf. [default: the separation, at most 400]"),
    click.option("--restart-every", type=int, help="Of dp-ftrl: a new tree after so many rounds. [default: never]"),
]  # fmt: skip


def privacy_options(command: Command) -> Command:
    """Add the options to a click command that has those of `recipe_options`, `--cohort` and `--rounds`, too."""
    for add in reversed(OPTIONS):
        command = add(command)
    return command


def promised(o: dict[str, Any], directory: Path | None) -> PrivacySettings | None:
    """Return what the options in `o` (by name, as click gives them) promise of noise that the coordinator adds.

    `None` for nothing, and where the devices add it.

    Args:
        o: the options.
        directory: of the run; what it began with holds on. `None` for one that keeps nothing.

    Raises:
        ConfigError: if one is missing, out of its range, or two contradict each other.
        UnavailableError: if dp-accounting is not installed.
    """
    if o["privacy"] == "none":
        for name in BELONGING:
            if o[name] is not None:
                raise ConfigError(f"--{name.replace('_', '-')} belongs to --privacy: say which, such as dp-fedavg")
        return None
    if o.get("secure_aggregation"):
        return None  # the devices add the noise: `shared_privacy` says what that promises
    if o["clip_norm"] is None:
        raise ConfigError("--privacy needs --clip-norm: the L2 norm that no device's update may pass, such as 0.3")
    if o["noise_multiplier"] is None and o["epsilon"] is None:
        raise ConfigError("--privacy needs --noise-multiplier, or --epsilon for which it is to be found")
    begun = begun_terms(directory) if directory is not None else {}
    promise = PrivacySettings(
        make_mechanism(
            o["privacy"], o["rounds"], o["separation"], bands=o["bands"] or 0, restart_every=o["restart_every"] or 0,
            coefficients=begun.get("parameters", ()),
        ),
        flat(o["clip_norm"]),
        o["noise_multiplier"] or 0.0,
        delta=1e-6 if o["delta"] is None else o["delta"],
        epsilon=math.inf if o["epsilon"] is None else o["epsilon"],
        separation=o["separation"],
        population=o["population"] or 0,
        participations=o["participations"] or 0,
    )  # fmt: skip
    if o["noise_multiplier"] is None:
        # More rounds of a run that has begun do not change its noise: they end sooner.
        promise = replace(promise, noise_multiplier=begun.get("noise_multiplier") or _noise(promise, o))
    return replace(promise, clipping=_clipping(o, promise))


def private_plan(chosen: Plan, o: dict[str, Any]) -> Plan:
    """Return the plan with equal weights, which a promise needs; what was asked for otherwise is refused later."""
    if o["privacy"] == "none" or o["weighting"] == "examples":
        return chosen
    algorithm = chosen.algorithm
    return chosen._replace(algorithm=algorithm._replace(client=replace(algorithm.client, uniform=True)))


def _clipping(o: dict[str, Any], promise: PrivacySettings) -> Clipping:
    if o["clip_quantile"] is None:
        return promise.clipping
    return adaptive(
        o["clip_norm"], quantile=o["clip_quantile"], cohort=o["cohort"], noise_multiplier=promise.noise_multiplier
    )


def _noise(promise: PrivacySettings, o: dict[str, Any]) -> float:
    """Return the least noise at which all rounds stay within the budget, if each asks as many as it selects."""
    asked = [math.ceil(o["cohort"] * o["over_selection"] - 1e-9)] * o["rounds"]
    return noise_for(lambda z: replace(promise, noise_multiplier=z).cost(asked).epsilon, promise.epsilon)
