"""Server algorithms and aggregators by name, with the settings that each of them has."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from edgewise_coordinator.aggregators.base import Aggregator
from edgewise_coordinator.aggregators.krum import krum
from edgewise_coordinator.aggregators.mean import mean
from edgewise_coordinator.aggregators.median import median
from edgewise_coordinator.aggregators.trimmed_mean import trimmed_mean
from edgewise_coordinator.algorithms.base import Algorithm
from edgewise_coordinator.algorithms.fedadagrad import fedadagrad
from edgewise_coordinator.algorithms.fedadam import fedadam
from edgewise_coordinator.algorithms.fedavg import fedavg
from edgewise_coordinator.algorithms.fedavgm import fedavgm
from edgewise_coordinator.algorithms.fedprox import fedprox
from edgewise_coordinator.algorithms.fedyogi import fedyogi
from edgewise_coordinator.algorithms.scaffold import scaffold
from edgewise_coordinator.plugins import find
from edgewise_wire.errors import ConfigError
from edgewise_wire.user_code import user_code


def _fedprox(mu: float = 0.01, server_learning_rate: float = 1.0) -> Algorithm:
    return fedprox(mu, fedavg(server_learning_rate))


ALGORITHMS: dict[str, Callable[..., Algorithm]] = {
    "fedavg": fedavg,
    "fedavgm": fedavgm,
    "fedadam": fedadam,
    "fedyogi": fedyogi,
    "fedadagrad": fedadagrad,
    "fedprox": _fedprox,
    "scaffold": scaffold,
}
AGGREGATORS: dict[str, Callable[..., Aggregator]] = {
    "mean": mean,
    "trimmed-mean": trimmed_mean,
    "median": median,
    "krum": krum,
}


def algorithm(name: str, settings: Mapping[str, Any]) -> Algorithm:
    """Return an algorithm by name; `settings` are those that were asked for, the others keep their defaults.

    Raises:
        ConfigError: if it is not known, has no such setting, lacks one, or one is out of its range.

    Example:
        >>> algorithm("fedprox", {"mu": 0.1}).client.mu
        0.1
    """
    built: Algorithm = _build("algorithm", name, ALGORITHMS, settings)
    return built


def aggregator(name: str, settings: Mapping[str, Any]) -> Aggregator:
    """Return an aggregator by name, as `algorithm` does.

    Raises:
        ConfigError: as `algorithm`.
    """
    built: Aggregator = _build("aggregator", name, AGGREGATORS, settings)
    return built


def _build(kind: str, name: str, known: Mapping[str, Any], settings: Mapping[str, Any]) -> Any:
    builder = find(kind, name, known)
    if not callable(builder):
        raise ConfigError(f"{kind} {name!r}: expected a function that builds one, got {type(builder).__name__}")
    parameters = inspect.signature(builder).parameters
    for setting in settings:
        if setting not in parameters:
            has = ", ".join(option(p) for p in parameters) or "none"
            raise ConfigError(f"{kind} {name} has no setting {option(setting)}; it has: {has}")
    for parameter in parameters.values():
        if parameter.default is parameter.empty and parameter.name not in settings:
            raise ConfigError(f"{kind} {name} must be told {option(parameter.name)}")
    with user_code(f"{kind} {name!r}"):
        return builder(**settings)


def option(setting: str) -> str:
    """Return a setting as the command line spells it."""
    return "--" + setting.replace("_", "-")
