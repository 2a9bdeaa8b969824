"""Everything that decides what a simulation computes, and what is refused of it before anything is done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np

from edgewise.privacy_options import promised
from edgewise.recipes import defaults, plan
from edgewise.simulation.data import TaskData
from edgewise.simulation.population import FleetModel, fleet_model
from edgewise_coordinator.privacy.settings import PrivacySettings
from edgewise_coordinator.settings import RoundSettings, Settings, TrainingSettings
from edgewise_wire.errors import ConfigError

COHORT = 8  # where nothing else is said and there are so many devices
KINDS: dict[str, tuple[type, str]] = {
    "int": (int, "a whole number"),
    "float": (Real, "a number"),
    "str": (str, "a text"),
}


@dataclass(frozen=True)
class Options:
    """Everything that decides what a simulation computes; `recipe` are the options of `edgewise.recipes`.

    The same options give the same bits, whatever computes them. A `cohort` of None is 8, or every device where there
    are fewer.
    """

    rounds: int = 10
    devices: int = 0
    cohort: int | None = None
    over_selection: float = 1.0
    min_reports: int = 0
    epochs: int = 1
    learning_rate: float = 0.5
    max_examples: int = 0
    compress: str = "float32"
    compress_down: str = ""
    evaluate_every: int = 1
    evaluation_devices: int = 0
    selection_timeout: float = 4 * 3600.0
    report_timeout: float = 600.0
    offline_grace: float = 20.0
    max_abandoned: int = 100
    fleet: str = "ideal"
    drop_out: float | None = None
    trace: str = ""
    seed: int = 0
    privacy: str = "none"
    clip_norm: float | None = None
    clip_quantile: float | None = None
    noise_multiplier: float | None = None
    epsilon: float | None = None
    delta: float | None = None
    population: int | None = None
    participations: int | None = None
    bands: int | None = None
    restart_every: int | None = None
    recipe: Mapping[str, Any] = field(default_factory=dict)

    def fitting(self, data: TaskData) -> Options:
        """Return them with the cohort that these devices can make, if none was asked for."""
        return self if self.cohort is not None else replace(self, cohort=min(COHORT, _that_train(data)))

    def settings(self, data: TaskData) -> Settings:
        """Return them as a coordinator knows them. Raises ConfigError if one is out of its range."""
        made = plan(self.recipe_options(data))
        cohort = self.fitting(data).cohort or 0
        goal = (made.buffer and int(self.recipe["buffer"])) or cohort
        devices = _that_train(data)
        if goal > devices:  # a device counts once in a cohort, and in a buffer, which would wait for ever
            raise ConfigError(
                f"{'buffer' if made.buffer else 'cohort'}: expected at most the {devices} devices there are,"
                f" got {goal}; leave it out, or ask for more devices (one without examples to train on does not count)"
            )
        if self.evaluation_devices < 0:
            raise ConfigError(f"evaluation-devices: expected 0 (all) or more, got {self.evaluation_devices}")
        if not 0 <= self.seed < 1 << 64:
            raise ConfigError(f"seed: expected a number from 0 to 2^64 - 1, got {self.seed}")
        settings = Settings(
            fleet="simulation",
            rounds=self.rounds,
            cohort=RoundSettings(
                goal=goal, over_selection=self.over_selection, min_reports=self.min_reports,
                selection_timeout=self.selection_timeout, report_timeout=self.report_timeout,
                offline_grace=self.offline_grace,
            ),
            training=TrainingSettings(self.epochs, self.learning_rate, self.max_examples, self.compress),
            evaluate_every=self.evaluate_every, max_abandoned=self.max_abandoned, seed=self.seed,
            downlink=self.compress_down, buffer=made.buffer,
        )  # fmt: skip
        made.check(settings)
        return settings

    def recipe_options(self, data: TaskData) -> dict[str, Any]:
        """Return the recipe's options, the fleet's size among them where an algorithm must know it."""
        return self._recipe(len(data.devices))

    def check_recipe(self) -> None:
        """Check the recipe alone, without model and data. Raises ConfigError as `plan` does."""
        plan(self._recipe(1))

    def _recipe(self, devices: int) -> dict[str, Any]:
        options = {**defaults(), "compress": self.compress, **self.recipe}
        if options["algorithm"] == "scaffold" and options["fleet_size"] is None:
            options["fleet_size"] = devices
        if self.privacy != "none" and options["weighting"] is None:
            options["weighting"] = "uniform"  # a promise needs it; what was asked for otherwise is refused
        return options

    def promise(self, data: TaskData) -> PrivacySettings | None:
        """Return what is promised of privacy. Raises ConfigError as `promised`."""
        own = {name: getattr(self, name) for name in Options.__dataclass_fields__ if name != "recipe"}
        return promised({**self.recipe_options(data), **own}, None)

    def model(self) -> FleetModel:
        """Return the virtual fleet. Raises ConfigError or DataError if there is none such."""
        if self.drop_out is not None and not 0 <= self.drop_out < 1:
            raise ConfigError(f"drop-out: expected a share from 0 to 1 (not included), got {self.drop_out}")
        drop_out = None if self.drop_out is None else (self.drop_out, self.drop_out)
        return fleet_model(self.fleet, drop_out=drop_out, trace=self.trace or None)


def options_of(given: Mapping[str, Any]) -> Options:
    """Return options by name, those of the recipe among them.

    Raises:
        ConfigError: if one is not known.
    """
    names = Options.__dataclass_fields__.keys() - {"recipe"}
    own = {name: _plain(name, value) for name, value in given.items() if name in names}
    rest = {name: value for name, value in given.items() if name not in own}
    if "selection" in rest:
        rest["selection_name"] = rest.pop("selection")
    known = defaults()
    for name in rest:
        if name not in known:
            names = {*known, *Options.__dataclass_fields__, "selection"} - {"selection_name", "recipe"}
            raise ConfigError(f"option {name!r}: not known; expected one of {', '.join(sorted(names))}")
    return replace(Options(), **own, recipe=rest)


def _plain(name: str, value: Any) -> Any:
    """Return an option's value as JSON has it, of the kind that its field says.

    Raises:
        ConfigError: if it is of another kind.
    """
    plain, _, none = Options.__annotations__[name].partition(" | ")
    value = value.item() if isinstance(value, np.generic) else str(value) if isinstance(value, Path) else value
    kind, words = KINDS[plain]
    if (none and value is None) or (isinstance(value, kind) and not isinstance(value, bool)):
        return value
    raise ConfigError(f"{name}: expected {words}, got {value!r}")


def _that_train(data: TaskData) -> int:
    """Return how many devices have examples to train on."""
    return int(np.count_nonzero(data.counts(held_out=False)))
