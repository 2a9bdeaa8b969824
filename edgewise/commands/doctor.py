"""`edgewise doctor`: check an installation, and say what to do about what is missing."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from edgewise.doctor import Finding, State, examine

MARKS = {State.OK: ("✓", "green"), State.NOTE: ("–", "cyan"), State.MEND: ("✗", "red")}
TO_MEND = 2


@click.command(short_help="Check this installation and say what to do.")
@click.option("--broker", metavar="URL", help="Also reach this broker, as a client would: mqtt://host:1883.")
@click.option("--ca", type=click.Path(dir_okay=False, path_type=Path), help="With --broker mqtts://: the authority.")
@click.option(
    "--cert", type=click.Path(dir_okay=False, path_type=Path), help="With --broker mqtts://: our certificate."
)
@click.option("--key", type=click.Path(dir_okay=False, path_type=Path), help="With --broker mqtts://: its key.")
@click.option("--dir", "directory", default=Path(), type=click.Path(path_type=Path), help="Where runs go. [default: .]")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def command(
    broker: str | None, ca: Path | None, cert: Path | None, key: Path | None, directory: Path, as_json: bool
) -> None:
    """Look at versions, the TFLite runtime, what each job needs, disk, clock, ports and (with --broker) the broker.

    Ends with status 2 if something has to be mended; notes do not count.

    \b
    Example:
      edgewise doctor
      edgewise doctor --broker mqtt://127.0.0.1:1883
    """
    found = list(examine(directory, broker, ca=ca, cert=cert, key=key))
    mend = [finding for finding in found if finding.state is State.MEND]
    if as_json:
        click.echo(json.dumps({"well": not mend, "checks": [finding.as_dict() for finding in found]}))
    else:
        _print(found, len(mend))
    if mend:
        raise click.exceptions.Exit(TO_MEND)


def _print(found: list[Finding], to_mend: int) -> None:
    colour = False if "NO_COLOR" in os.environ else None
    width = max(len(finding.name) for finding in found)
    for finding in found:
        mark, paint = MARKS[finding.state]
        click.echo(f"{click.style(mark, fg=paint)} {finding.name:<{width}}  {finding.says}", color=colour)
        if finding.do:
            click.echo(f"  {'':<{width}}  → {finding.do}", color=colour)
    click.echo("All is well." if not to_mend else f"{to_mend} to mend.", color=colour)
