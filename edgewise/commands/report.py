"""`edgewise report`: a simulation, or several, as one HTML page."""

from __future__ import annotations

from pathlib import Path

import click

from edgewise.simulation.report import write_report
from edgewise_wire.errors import ConfigError


@click.command(short_help="Write a simulation's report as one HTML page.")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="The file. [default: RUN/report.html]")
def command(run: Path, out: Path | None) -> None:
    """Write curves, tables, and who gains and who loses as one self-contained HTML page.

    RUN is the folder of a run, or of several (as --compare makes it); that of a coordinator will do, too.

    \b
    Example:
      edgewise report runs/simulation
      edgewise report runs/compared --out compared.html
    """
    if out is not None and out.suffix.lower() not in (".html", ".htm"):
        raise ConfigError(f"--out {out}: expected a name that ends in .html")
    click.echo(str(write_report(run, out or run / "report.html")))
