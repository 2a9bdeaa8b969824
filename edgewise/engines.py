"""What takes updates in for a coordinator: the coordinator itself, or aggregators as processes or as Ray actors."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from edgewise_coordinator.collecting.plain import plain_updates
from edgewise_coordinator.collecting.spread import check_spread, spread_over
from edgewise_coordinator.distributed.engine import AGGREGATORS_MAX
from edgewise_coordinator.distributed.orders import BrokerSettings, NodeSettings
from edgewise_coordinator.opening import Collect
from edgewise_coordinator.recipe import Recipe
from edgewise_coordinator.settings import Settings
from edgewise_wire.errors import ConfigError
from edgewise_wire.transport.address import TlsFiles

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


@dataclass(frozen=True, slots=True)
class Spread:
    """The aggregators that are asked for, by name, and what runs them; `papers` are theirs, in the same order."""

    engine: str
    address: str | None
    names: tuple[str, ...]
    papers: tuple[TlsFiles, ...]


def spread(options: dict[str, Any], settings: Settings, recipe: Recipe, papers: Callable[[str], TlsFiles]) -> Spread:
    """Return what the options ask for, checked before anything is started.

    Args:
        options: of the command.
        settings: of the coordinator.
        recipe: how it aggregates.
        papers: gives an aggregator's papers for the broker.

    Raises:
        ConfigError: if the number is not 0 to 256, Ray is named where none is wanted, partial sums would not do, or an
            aggregator has no papers.
        UnavailableError: if Ray is not installed.
    """
    number, kind, address = options["aggregators"], options["engine"], options["ray_address"]
    if not 0 <= number <= AGGREGATORS_MAX:
        raise ConfigError(f"aggregators: expected 0 to {AGGREGATORS_MAX}, got {number}")
    if not number and kind == "ray":
        raise ConfigError("--engine ray without --aggregators: say how many, for example --aggregators 4")
    if address and kind != "ray":
        raise ConfigError("--ray-address without --engine ray: add it")
    names = tuple(f"a{n}" for n in range(number))
    if names:
        check_spread(recipe, settings)
    if kind == "ray":
        from edgewise_coordinator.distributed.ray_engine import import_ray

        import_ray()
    return Spread(kind, address, names, tuple(map(papers, names)))


@contextlib.contextmanager
def collecting(wanted: Spread, settings: Settings, directory: Path, broker: BrokerSettings) -> Iterator[Collect]:
    """Give the way of collecting that is wanted; its processes run until the block ends.

    Raises:
        UnavailableError: if Ray cannot be reached.
    """
    if not wanted.names:
        yield plain_updates
        return
    nodes = [
        NodeSettings(
            name, settings.fleet, replace(broker, tls=papers), (directory / "aggregators" / name).absolute(),
            settings.uploads,
        )
        for name, papers in zip(wanted.names, wanted.papers, strict=True)
    ]  # fmt: skip
    if wanted.engine == "ray":
        from edgewise_coordinator.distributed.ray_engine import RayEngine

        engine: Any = RayEngine(nodes, wanted.address)
    else:
        from edgewise_coordinator.distributed.processes import ProcessEngine

        engine = ProcessEngine(nodes)
    try:
        yield spread_over(engine)
    finally:
        engine.close()
