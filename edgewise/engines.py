"""What takes updates in for a coordinator: the coordinator itself, or aggregators as processes or as Ray actors."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from edgewise_coordinator.collecting.plain import plain_updates
from edgewise_coordinator.collecting.spread import check_spread, spread_over
from edgewise_coordinator.distributed.orders import BrokerSettings, NodeSettings
from edgewise_coordinator.opening import Collect
from edgewise_coordinator.recipe import Recipe
from edgewise_coordinator.settings import Settings
from edgewise_wire.errors import ConfigError

AGGREGATORS_MAX = 256
ENGINES = ("process", "ray")


def engine_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options to a click command."""
    for option in (
        click.option("--ray-address", help="Of a running Ray cluster, or auto.  [default: Ray on this machine]"),
        click.option(
            "--engine",
            default="process",
            show_default=True,
            type=click.Choice(ENGINES),
            help="What runs the aggregators: processes of this machine, or Ray (pip install 'edgewise[ray]').",
        ),
        click.option(
            "--aggregators",
            default=0,
            show_default=True,
            help="Processes that take updates in, each its share of the devices; 0: the coordinator does.",
        ),
    ):
        command = option(command)
    return command


@contextlib.contextmanager
def collecting(
    options: dict[str, Any], settings: Settings, recipe: Recipe, directory: Path, broker: BrokerSettings
) -> Iterator[Collect]:
    """Give the way of collecting that the options ask for; its processes run until the block ends.

    Raises:
        ConfigError: if the number is not 0 to 256, or Ray is named where none is wanted.
        UnavailableError: if Ray is not installed or cannot be reached.
    """
    number, kind, address = options["aggregators"], options["engine"], options["ray_address"]
    if not 0 <= number <= AGGREGATORS_MAX:
        raise ConfigError(f"aggregators: expected 0 to {AGGREGATORS_MAX}, got {number}")
    if not number and kind == "ray":
        raise ConfigError("--engine ray without --aggregators: say how many, for example --aggregators 4")
    if address and kind != "ray":
        raise ConfigError("--ray-address without --engine ray: add it")
    if not number:
        yield plain_updates
        return
    check_spread(recipe, settings)
    nodes = [
        NodeSettings(name, settings.fleet, broker, (directory / "aggregators" / name).absolute(), settings.uploads)
        for name in (f"a{n}" for n in range(number))
    ]
    if kind == "ray":
        from edgewise_coordinator.distributed.ray_engine import RayEngine

        engine: Any = RayEngine(nodes, address)
    else:
        from edgewise_coordinator.distributed.processes import ProcessEngine

        engine = ProcessEngine(nodes)
    try:
        yield spread_over(engine)
    finally:
        engine.close()
