"""`edgewise fleet`: who belongs to a fleet, and what its broker lets them do."""

from __future__ import annotations

import getpass
import json
import time
from datetime import datetime, timezone
from pathlib import Path

import click

from edgewise.guessing import GuessingGroup
from edgewise_coordinator.eviction import evict, reload_broker
from edgewise_coordinator.fleet_directory import FleetDirectory
from edgewise_wire.errors import UnavailableError

DEVICE_DAYS = 365.0

_directory = click.option(
    "--dir",
    "directory",
    default=Path("fleet"),
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="The fleet's directory. It holds private keys: keep it, and keep it to yourself.",
)


@click.group("fleet", cls=GuessingGroup, short_help="Make a fleet's certificates; let devices in, shut them out.")
def command() -> None:
    """Decide who belongs to a fleet.

    The fleet's directory holds its certificate authority, the keys of its coordinator, and the configuration of its
    broker: TLS, a certificate for everyone, and an access list that lets a device speak under its own name only.

    \b
    Example:
      edgewise fleet init home --broker-host broker.example
      edgewise broker --fleet-dir fleet
      edgewise fleet enroll pi-7                   # writes pi-7.bundle: take it to the device
      edgewise device join pi-7.bundle             # on the device; then: edgewise device run
      edgewise coordinate --fleet-dir fleet --model model.tflite
      edgewise fleet revoke pi-7
    """


@command.command()
@click.argument("name")
@_directory
@click.option(
    "--broker-host", "hosts", multiple=True, default=["127.0.0.1"], show_default=True,
    help="Where devices find the broker: a name or an address; more of them for its certificate.",
)  # fmt: skip
@click.option("--port", default=8883, show_default=True, type=click.IntRange(1, 65_535), help="The broker's port.")
@click.option("--bind", default="", help="The address that the broker listens on. [default: every one]")
@click.option(
    "--broker-user", default=getpass.getuser, help="Whom Mosquitto becomes when root starts it. [default: you]"
)
def init(name: str, directory: Path, hosts: tuple[str, ...], port: int, bind: str, broker_user: str) -> None:
    """Make a fleet: its authority, its keys, its broker's configuration.

    \b
    Example:
      edgewise fleet init home --broker-host broker.example --dir fleet
    """
    fleet = FleetDirectory.create(
        directory, name, host=hosts[0], port=port, bind=bind, user=broker_user, now=time.time(), more_hosts=hosts[1:]
    )
    click.echo(f"Fleet {name!r} is in {fleet.path}; its broker is {fleet.broker}.")
    click.echo(f"Start the broker: edgewise broker --fleet-dir {directory}")
    click.echo(f"Let a device in:  edgewise fleet enroll DEVICE --dir {directory}")


@command.command()
@click.argument("device")
@_directory
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="The bundle's file. [default: DEVICE.bundle]"
)
@click.option(
    "--days", default=DEVICE_DAYS, show_default=True, type=click.FloatRange(min=0), help="How long it is good."
)
def enroll(device: str, directory: Path, out: Path | None, days: float) -> None:
    """Let a device in: write one file with everything it needs.

    The file holds the device's private key. Take it there by a way you trust, and delete it here.

    \b
    Example:
      edgewise fleet enroll pi-7 --dir fleet --out pi-7.bundle
    """
    fleet = FleetDirectory(directory)
    bundle = fleet.enroll(device, days=days, now=time.time())
    path = out or Path(f"{device}.bundle")
    bundle.save(path)
    then = f"edgewise device join {path.name}, then edgewise device run"
    click.echo(f"{path} is good until {_day(bundle.expires)}. On the device: {then}")


@command.command()
@click.argument("device")
@_directory
@click.option("--offline", is_flag=True, help="Do not look for the broker: it is not running, or told by other means.")
def revoke(device: str, directory: Path, offline: bool) -> None:
    """Shut a device out, at the broker and at the coordinator, and end the session that it has.

    A coordinator that runs with --fleet-dir listens to it no more within a second; the broker's revocation list is
    written anew and the broker told to read it; then the device's live session is thrown out.

    \b
    Example:
      edgewise fleet revoke pi-7 --dir fleet
    """
    fleet = FleetDirectory(directory)
    count = fleet.revoke(device, now=time.time())
    click.echo(
        f"{device}: {count} certificate{'' if count == 1 else 's'} revoked; the coordinator takes nothing from it."
    )
    if offline:
        click.echo("The broker was not told: it reads its revocation list when it starts, or on SIGHUP.", err=True)
        return
    told: UnavailableError | None = None
    try:
        reload_broker(fleet)
    except UnavailableError as error:
        told = error
    evict(fleet, device, now=time.time())
    if told is not None:
        raise told
    click.echo("The broker lets it in no more, and its session is ended.")


@command.command()
@click.argument("number", type=int)
@_directory
def aggregators(number: int, directory: Path) -> None:
    """Give NUMBER aggregators their certificates, and places in the broker's access list.

    Each may hear the updates that are sent to it, and nothing else. For `edgewise coordinate --aggregators NUMBER`.

    \b
    Example:
      edgewise fleet aggregators 4 --dir fleet
      edgewise coordinate --fleet-dir fleet --model model.tflite --aggregators 4
    """
    fleet = FleetDirectory(directory)
    fleet.set_aggregators(number, now=time.time())
    click.echo(f"{number} aggregator{'' if number == 1 else 's'} may come: {fleet.path / 'aggregators'}")
    try:
        reload_broker(fleet)
        click.echo("The broker has read its access list anew.")
    except UnavailableError:
        click.echo("No broker of this fleet runs here: it reads its access list when it starts, or on SIGHUP.")


@command.command()
@_directory
def renew(directory: Path) -> None:
    """Give coordinator, aggregators and broker new certificates before theirs end; devices notice nothing.

    \b
    Example:
      edgewise fleet renew --dir fleet
    """
    fleet = FleetDirectory(directory)
    until = fleet.renew(now=time.time())
    click.echo(f"Certificates of broker, coordinator and aggregators are good until {_day(until)}. Restart them.")


@command.command("list")
@_directory
@click.option("--json", "as_json", is_flag=True, help="One JSON object a certificate.")
def list_(directory: Path, as_json: bool) -> None:
    """Show every device that was enrolled.

    \b
    Example:
      edgewise fleet list --dir fleet
    """
    fleet, now = FleetDirectory(directory), time.time()
    for row in fleet.enrolments():
        status = row.status(now)
        if as_json:
            plain = {"device": row.device, "status": status, "serial": row.serial, "expires": row.expires}
            click.echo(json.dumps(plain | {"enrolled": row.enrolled, "revoked": row.revoked}))
        else:
            click.echo(f"{row.device:<24} {status:<8} until {_day(row.expires)}  {row.serial[:16]}")


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
