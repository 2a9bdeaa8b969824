"""`edgewise models list|show|rollback|export`: the versions that a coordinator keeps."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from edgewise.guessing import GuessingGroup
from edgewise.live import number, percent
from edgewise_coordinator.catalog import Catalog, roll_back_wherever
from edgewise_wire.errors import ConfigError
from edgewise_wire.files import write_durably

dir_option = click.option(
    "--dir",
    "directory",
    default=Path("runs/fleet"),
    show_default=True,
    type=click.Path(path_type=Path),
    help="The coordinator's directory.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object instead of a table.")


@click.group(cls=GuessingGroup, short_help="List, show, roll back or export the versions of a model.")
def command() -> None:
    """Look after the versions that a coordinator made; each keeps its parent, its round and its metrics.

    \b
    Example:
      edgewise models list --dir runs/fleet
    """


@command.command("list")
@dir_option
@json_option
def list_(directory: Path, as_json: bool) -> None:
    """List the versions, oldest first; rounds start from the last one.

    \b
    Example:
      edgewise models list --dir runs/fleet
    """
    with _catalog(directory) as catalog:
        rows = catalog.told()
        if as_json:
            click.echo(json.dumps({"versions": rows}))
        else:
            _print_table(catalog, rows)


@command.command()
@click.argument("version", type=int)
@dir_option
@json_option
def show(version: int, directory: Path, as_json: bool) -> None:
    """Show all that is known of one version.

    \b
    Example:
      edgewise models show 3 --dir runs/fleet
    """
    with _catalog(directory) as catalog:
        found = catalog.describe(version)
    click.echo(json.dumps(found) if as_json else "\n".join(_lines(found)))


@command.command()
@click.argument("version", type=int)
@dir_option
@json_option
def rollback(version: int, directory: Path, as_json: bool) -> None:
    """Go on from an older version: it becomes the newest once more, and nothing is deleted.

    A coordinator that runs on the directory does it between two messages. A round that was under way is abandoned.

    \b
    Example:
      edgewise models rollback 3 --dir runs/fleet
    """
    made = roll_back_wherever(directory, version)
    with _catalog(directory) as catalog:
        row = next(row for row in catalog.told() if row["version"] == made)
    if as_json:
        click.echo(json.dumps(row))
    else:
        click.echo(
            f"Version {made} is version {version} again; rounds go on from it with"
            f" edgewise coordinate --rounds N, N above {made}."
        )


@command.command()
@click.argument("version", type=int)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The .tflite file to write.")
@dir_option
def export(version: int, out: Path, directory: Path) -> None:
    """Write one version as a model file, which runs and trains like the first one.

    \b
    Example:
      edgewise models export 3 --dir runs/fleet --out version-3.tflite
    """
    if out.is_dir() or not out.parent.is_dir():
        raise ConfigError(f"--out {out}: expected a file in a folder that is there")
    with _catalog(directory) as catalog:
        data = catalog.model_bytes(version)
    write_durably(out, data)
    click.echo(f"Version {version} is in {out} ({len(data):,} bytes).")


@contextmanager
def _catalog(directory: Path) -> Iterator[Catalog]:
    catalog = Catalog(directory)
    try:
        yield catalog
    finally:
        catalog.close()


def _print_table(catalog: Catalog, rows: list[dict[str, Any]]) -> None:
    table = Table(box=None, pad_edge=False)
    for heading in ("version", "parent", "round", "made", *catalog.metrics, ""):
        table.add_column(heading, justify="left" if heading in ("made", "") else "right", no_wrap=True)
    for row in rows:
        measured = (
            number(row["metrics"].get(name)) if name == "loss" else percent(row["metrics"].get(name))
            for name in catalog.metrics
        )
        where = ("–" if value is None else str(value) for value in (row["parent"], row["round"]))
        table.add_row(
            str(row["version"]), *where, _when(row["created"]), *measured, "newest" if row is rows[-1] else ""
        )
    Console(soft_wrap=True, highlight=False).print(table)


def _lines(found: dict[str, Any]) -> Iterator[str]:
    newest = ", the newest" if found["newest"] else ""
    origin = "the first one" if found["parent"] is None else f"made from version {found['parent']}"
    by = f" by round {found['round']}" if found["round"] is not None else ""
    yield f"version {found['version']}{newest}: {origin}{by}, {_when(found['created'])}"
    made_by = found["made_by"]
    if made_by:
        yield (
            f"  {made_by['reported']} reports of {made_by['selected']} devices, {made_by['examples']:,} examples,"
            f" training loss {number(made_by['train_loss'])}"
        )
    measured = ", ".join(f"{name} {value:.4f}" for name, value in found["metrics"].items())
    yield f"  metrics {measured or 'not measured'}"
    moved = "" if found["change_norm"] is None else f", {found['change_norm']:.4g} away from its parent"
    yield f"  weights {found['parameters']:,}, norm {found['weights_norm']:.4g}{moved}"
    yield f"  SHA-256 {found['weights_sha256']}"
    state = ", ".join(f"{name}{shape}" for name, shape in found["state"].items())
    yield f"  state of the server's algorithm: {state or 'none'}"


def _when(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M")
