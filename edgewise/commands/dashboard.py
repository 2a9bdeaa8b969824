"""`edgewise dashboard`: the page of a run, while it goes on or afterwards."""

from __future__ import annotations

import threading
from pathlib import Path

import click

from edgewise.dashboard.option import LOCAL, dashboard_at
from edgewise_coordinator.catalog import STATE
from edgewise_wire.errors import ConfigError


@click.command(short_help="Show a run on a page: live, or afterwards.")
@click.option(
    "--dir",
    "directory",
    default=Path("runs/fleet"),
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="The coordinator's directory (or a demo's).",
)
@click.option("--listen", default=LOCAL, show_default=True, metavar="HOST:PORT", help="Where to serve the page.")
def command(directory: Path, listen: str) -> None:
    """Serve the dashboard of a coordinator's directory, whether it runs now or has ended. Ctrl-C ends it.

    \b
    Example:
      edgewise dashboard --dir runs/20250101-120000
    """
    if not (directory / STATE).exists():
        raise ConfigError(f"{directory}: no coordinator has run there; name its --dir")
    with dashboard_at(directory, listen):
        threading.Event().wait()
