"""Several algorithms on the same devices, cohorts and seeds."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from edgewise.recipes import ALGORITHM_SETTINGS
from edgewise.simulation.data import TaskData
from edgewise.simulation.options import options_of
from edgewise.simulation.result import Result, Row
from edgewise.simulation.run import begun, simulate
from edgewise_coordinator.algorithms.registry import ALGORITHMS
from edgewise_wire.errors import ConfigError

SERVER_SETTINGS = ("server_halving", "server_annealing", "server_weight_decay")  # of any algorithm
SETTINGS = (*ALGORITHM_SETTINGS, *SERVER_SETTINGS)  # what a label may say of its algorithm
OF_THE_WORK = ("workers", "engine", "wire", "stop")  # of `simulate`, and no options of what is simulated


def variants(text: str) -> dict[str, dict[str, Any]]:
    """Return what to compare: `fedavg,fedadam:server_learning_rate=0.03:momentum=0.9` as options by label.

    Raises:
        ConfigError: if there are fewer than two, two alike, or a setting is none.

    Example:
        >>> variants("fedavg,fedprox:mu=0.1")
        {'fedavg': {'algorithm': 'fedavg'}, 'fedprox:mu=0.1': {'algorithm': 'fedprox', 'mu': 0.1}}
    """
    labels = [label.strip() for label in text.split(",") if label.strip()]
    found = {label: _variant(label) for label in labels}
    if len(labels) < 2 or len(found) < len(labels):
        raise ConfigError(f"compare: expected two algorithms or more, all different, got {text!r}")
    return found


def _variant(label: str) -> dict[str, Any]:
    parts = label.split(":")
    settings = [part for part in parts if "=" in part]
    found: dict[str, Any] = {"algorithm": ":".join(part for part in parts if "=" not in part)}
    for setting in settings:
        name, _, value = setting.partition("=")
        name = name.replace("-", "_")
        try:
            if name not in SETTINGS:
                raise ValueError
            found[name] = int(value) if name == "fleet_size" else float(value)
        except ValueError:
            raise ConfigError(
                f"compare {label!r}: {setting!r} is no setting; expected NAME=NUMBER of {', '.join(SETTINGS)}"
            ) from None
    return found


def applying(variant: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return a variant's options on top of those for all, without settings that its algorithm has not."""
    builder = ALGORITHMS.get(variant["algorithm"])
    has = set(inspect.signature(builder).parameters) if builder else set(ALGORITHM_SETTINGS)
    kept = {name: value for name, value in options.items() if name not in ALGORITHM_SETTINGS or name in has}
    return {**kept, **variant}


def compare(
    model: str | Path | bytes,
    data: TaskData | Mapping[str, list[str]] | str | Path,
    algorithms: str,
    *,
    directory: str | Path,
    resume: bool = False,
    on_round: Callable[[str, Row], None] = lambda label, row: None,
    **options: Any,
) -> dict[str, Result]:
    """Simulate each of `algorithms` (see `variants`) with otherwise the same `options`, each in a folder of its own.

    Args:
        model: as for `simulate`.
        data: as for `simulate`.
        algorithms: names, with settings of their own if need be.
        directory: where their folders go, and `comparison.png`.
        resume: go on with what is in their folders, and begin what is not.
        on_round: called with an algorithm's label and a row as it comes.
        options: as for `simulate`.

    Returns:
        Results by label.

    Raises:
        InputError: as `simulate`.
    """
    results, found = {}, variants(algorithms)
    for variant in found.values():
        chosen = {name: value for name, value in applying(variant, options).items() if name not in OF_THE_WORK}
        options_of(chosen).check_recipe()  # refused before anything is simulated
    for label, variant in found.items():

        def watch(row: Row, label: str = label) -> None:
            on_round(label, row)

        folder = Path(directory) / folder_of(label)
        again = resume and begun(folder)
        results[label] = simulate(
            model, data, directory=folder, on_round=watch, resume=again, **applying(variant, options)
        )
    return results


def folder_of(label: str) -> str:
    """Return a folder's name for a label."""
    return label.replace(":", "-").replace("=", "-").replace("/", "-")
