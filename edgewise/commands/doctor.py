"""`edgewise doctor`: check an installation, and say what to do about what is missing."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from edgewise.doctor import SECURED_PORT, Finding, State, examine
from edgewise_wire.errors import ConfigError
from edgewise_wire.transport.address import TlsFiles, parse_address

MARKS = {State.OK: ("✓", "green"), State.NOTE: ("–", "cyan"), State.MEND: ("✗", "red")}
TO_MEND = 2


@click.command(short_help="Check this installation and say what to do.")
@click.option("--broker", metavar="URL", help="Also reach this broker, as a client would: mqtt://host:1883.")
@click.option(
    "--home",
    type=click.Path(file_okay=False, path_type=Path),
    help="A device that has joined a fleet: reach its broker, with its papers.",
)
@click.option(
    "--fleet-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="What `edgewise fleet init` made: reach its broker, as its coordinator.",
)
@click.option("--ca", type=click.Path(dir_okay=False, path_type=Path), help="With --broker mqtts://: the authority.")
@click.option(
    "--cert", type=click.Path(dir_okay=False, path_type=Path), help="With --broker mqtts://: our certificate."
)
@click.option("--key", type=click.Path(dir_okay=False, path_type=Path), help="With --broker mqtts://: its key.")
@click.option("--dir", "directory", default=Path(), type=click.Path(path_type=Path), help="Where runs go. [default: .]")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def command(broker: str | None, directory: Path, as_json: bool, **papers: Path | None) -> None:
    """Look at versions, the TFLite runtime, what each job needs, disk, clock, ports, and at the broker you name.

    Ends with status 2 if something has to be mended; notes do not count.

    \b
    Example:
      edgewise doctor
      edgewise doctor --broker mqtt://127.0.0.1:1883
      edgewise doctor --home ~/.local/share/edgewise
    """
    reached, tls = _whom_to_reach(broker, **papers)
    port = parse_address(reached).port if papers["fleet_dir"] and reached else SECURED_PORT
    found = list(examine(directory, reached, tls, port))
    mend = [finding for finding in found if finding.state is State.MEND]
    if as_json:
        click.echo(json.dumps({"well": not mend, "checks": [finding.as_dict() for finding in found]}))
    else:
        _print(found, len(mend))
    if mend:
        raise click.exceptions.Exit(TO_MEND)


def _whom_to_reach(
    broker: str | None, home: Path | None, fleet_dir: Path | None, **papers: Path | None
) -> tuple[str | None, TlsFiles]:
    if sum(given is not None for given in (broker, home, fleet_dir)) > 1:
        raise ConfigError("--broker, --home, --fleet-dir: each says which broker to reach; leave two of them out")
    if home is not None:
        from edgewise.commands.device.membership import find_membership
        from edgewise_edge.home import Home

        joined = find_membership(Home(home), None, None, "home", None, TlsFiles())
        return joined.broker, joined.tls
    if fleet_dir is not None:
        from edgewise_coordinator.fleet_directory import FleetDirectory

        fleet = FleetDirectory(fleet_dir)
        return fleet.broker, fleet.coordinator_tls
    return broker, TlsFiles(**papers)


def _print(found: list[Finding], to_mend: int) -> None:
    colour = False if "NO_COLOR" in os.environ else None
    width = max(len(finding.name) for finding in found)
    for finding in found:
        mark, paint = MARKS[finding.state]
        click.echo(f"{click.style(mark, fg=paint)} {finding.name:<{width}}  {finding.says}", color=colour)
        if finding.do:
            click.echo(f"  {'':<{width}}  → {finding.do}", color=colour)
    click.echo("All is well." if not to_mend else f"{to_mend} to mend.", color=colour)
