"""The options that say how a fleet learns: algorithm, aggregator, selection, buffer, pace. Shared by the commands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple, TypeVar

import click
import numpy as np

from edgewise_coordinator.aggregators.base import Aggregator
from edgewise_coordinator.algorithms.base import Algorithm
from edgewise_coordinator.algorithms.falling import annealing, halving
from edgewise_coordinator.algorithms.registry import AGGREGATORS, ALGORITHMS, aggregator, algorithm
from edgewise_coordinator.algorithms.weight_decay import weight_decay
from edgewise_coordinator.pace import NoPace, Pace, PaceSteering
from edgewise_coordinator.recipe import Recipe
from edgewise_coordinator.selection.base import Selection
from edgewise_coordinator.selection.registry import SELECTIONS, selection
from edgewise_coordinator.settings import BufferSettings, Settings
from edgewise_coordinator.update_transforms import UpdateTransform, norm_bound, unchanged
from edgewise_wire.errors import ConfigError

Command = TypeVar("Command", bound=Callable[..., Any])

CONCURRENCY = 2  # devices at work for each report of the buffer: then a report is two versions old on average
ALGORITHM_SETTINGS = ("server_learning_rate", "momentum", "adaptivity", "mu", "fleet_size")
AGGREGATOR_SETTINGS = ("trim", "attackers", "keep")

OPTIONS = [
    click.option(
        "--algorithm", default="fedavg", show_default=True,
        help=f"Of the server: {', '.join(ALGORITHMS)}, or module:function.",
    ),
    click.option("--server-learning-rate", type=float, help="How far it moves. [default: the algorithm's own]"),
    click.option("--server-halving", type=float, help="That rate halves every so many versions. [default: never]"),
    click.option("--server-annealing", type=float, help="That rate falls to nothing over so many. [default: never]"),
    click.option(
        "--server-weight-decay", type=float, help="The share of every weight that goes in each version. [default: none]"
    ),
    click.option("--momentum", type=float, help="Of fedavgm, fedadam, fedyogi, fedadagrad."),
    click.option("--adaptivity", type=float, help="τ of fedadam, fedyogi, fedadagrad: the smaller, the more adaptive."),
    click.option("--mu", type=float, help="μ of fedprox: how strongly devices are pulled to the round's weights."),
    click.option("--fleet-size", type=int, help="N of scaffold: how many devices there are."),
    click.option(
        "--aggregator", default="mean", show_default=True,
        help=f"From updates to one: {', '.join(AGGREGATORS)}, or module:function.",
    ),
    click.option("--trim", type=float, help="Of trimmed-mean: the share cut off at each end."),
    click.option("--attackers", type=int, help="Of krum: how many of a round's reports may be hostile."),
    click.option("--keep", type=int, help="Of krum: how many updates to average."),
    click.option("--norm-bound", type=float, help="Shrink longer updates to this L2 norm."),
    click.option(
        "--weighting", type=click.Choice(["examples", "uniform"]), help="What a report weighs. [default: its examples]"
    ),
    click.option(
        "--selection", "selection_name", default="uniform", show_default=True,
        help=f"Who is asked: {', '.join(SELECTIONS)}, or module:function.",
    ),
    click.option("--separation", default=1, show_default=True, help="A device takes part once in so many rounds."),
    click.option("--buffer", type=int, help="Buffered asynchronous rounds: a version every so many reports."),
    click.option("--concurrency", type=int, help="With --buffer: devices at work at once. [default: twice the buffer]"),
    click.option("--max-staleness", type=int, help="With --buffer: versions a report may be old. [default: 20]"),
    click.option(
        "--check-ins-per-second", default=10.0, show_default=True,
        help="In fleets of over 500: how often devices may offer themselves, all together; 0 for no bound.",
    ),
]  # fmt: skip


class Plan(NamedTuple):
    """What the options come to; `arguments` are for `Coordinator`, the buffer for its settings."""

    algorithm: Algorithm
    aggregator: Aggregator
    transform: UpdateTransform
    selection: Selection
    pace: Pace
    buffer: BufferSettings | None

    def check(self, settings: Settings) -> None:
        """Check that the settings suit the aggregator. Raises ConfigError if they do not."""
        self.recipe.check_cohort(settings.cohort)

    @property
    def recipe(self) -> Recipe:
        """What is done with updates."""
        return Recipe(self.algorithm, self.aggregator, self.transform)

    @property
    def arguments(self) -> dict[str, Any]:
        """The coordinator's arguments by name."""
        return {name: value for name, value in self._asdict().items() if name != "buffer"}


def recipe_options(command: Command) -> Command:
    """Add the options to a click command."""
    for add in reversed(OPTIONS):
        command = add(command)
    return command


def defaults() -> dict[str, Any]:
    """Return every option by name with its default, as `plan` takes them."""

    def nothing() -> None:
        pass

    recipe_options(nothing)
    found: list[click.Option] = nothing.__click_params__  # type: ignore[attr-defined]
    return {option.name or "": option.default if _set(option) else None for option in found}


def _set(option: click.Option) -> bool:
    """Whether an option has a default of its own; click 8.3 has a mark for those that have none."""
    return option.default is not None and type(option.default).__name__ != "Sentinel"


def plan(o: dict[str, Any]) -> Plan:
    """Return what the options in `o` (by name, as click gives them) come to.

    Raises:
        ConfigError: if one is out of its range, or two contradict each other; the message says what to change.
    """
    chosen = _algorithm(o)
    found = Plan(
        algorithm=chosen,
        aggregator=aggregator(o["aggregator"], _given(o, AGGREGATOR_SETTINGS)),
        transform=unchanged if o["norm_bound"] is None else norm_bound(o["norm_bound"]),
        selection=selection(o["selection_name"], o["separation"]),
        pace=_pace(o),
        buffer=_buffer(o),
    )
    Recipe(found.algorithm, found.aggregator, found.transform)  # refuses what does not go together
    _refuse(o, found)
    return found


def _algorithm(o: dict[str, Any]) -> Algorithm:
    chosen = algorithm(o["algorithm"], _given(o, ALGORITHM_SETTINGS))
    if o["server_weight_decay"] is not None:
        chosen = weight_decay(chosen, o["server_weight_decay"])
    if o["server_halving"] is not None:
        chosen = halving(chosen, o["server_halving"])
    if o["server_annealing"] is not None:
        chosen = annealing(chosen, o["server_annealing"])
    if o["weighting"] is None:
        return chosen
    if chosen.client.uniform and o["weighting"] == "examples":
        raise ConfigError(
            f"{chosen.name} with --weighting examples: its means are over devices, or its control variate would not be"
            " the mean of theirs; leave --weighting out"
        )
    return chosen._replace(client=replace(chosen.client, uniform=o["weighting"] == "uniform"))


def _pace(o: dict[str, Any]) -> Pace:
    rng = np.random.default_rng()  # jitter alone: nothing that is learned depends on it
    return PaceSteering(o["check_ins_per_second"], rng) if o["check_ins_per_second"] else NoPace(rng)


def _buffer(o: dict[str, Any]) -> BufferSettings | None:
    size, further = o["buffer"], _given(o, ("concurrency", "max_staleness"))
    if size is None:
        if further:
            raise ConfigError(f"--{next(iter(further)).replace('_', '-')} belongs to --buffer: say how large it is")
        return None
    if size < 1:
        raise ConfigError(f"--buffer: expected at least 1 report, got {size}")
    return BufferSettings(**{"concurrency": CONCURRENCY * size} | further)


def _refuse(o: dict[str, Any], found: Plan) -> None:
    if o["server_halving"] is not None and o["server_annealing"] is not None:
        raise ConfigError("--server-halving with --server-annealing: a rate falls in one way; leave one of them out")
    if found.algorithm.client.control and found.buffer is not None:
        raise ConfigError(
            f"{found.algorithm.name} with --buffer: a device's control variate must be of the version that the server's"
            " is of; use --cohort, or another algorithm"
        )
    if found.algorithm.client.control and o.get("compress", "float32") != "float32":
        raise ConfigError(
            f"{found.algorithm.name} with --compress {o['compress']}: what is lost of a control variate's change would"
            " add up over the rounds; use float32, or another algorithm"
        )
    if found.aggregator.robust and o["weighting"] is not None:
        raise ConfigError(
            f"{found.aggregator.name} with --weighting: every report has one voice, whatever it claims; leave it out"
        )


def _given(o: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: o[name] for name in names if o[name] is not None}
