"""`edgewise device install|uninstall`: the agent as a service of its owner's systemd."""

from __future__ import annotations

import getpass
import subprocess
import sys
from pathlib import Path

import click

from edgewise.commands.device.membership import find_bundle
from edgewise.commands.device.options import home_option
from edgewise.commands.device.run import run
from edgewise_edge.home import Home
from edgewise_edge.service import NAME, unit, unit_path
from edgewise_wire.errors import ConfigError, UnavailableError
from edgewise_wire.files import make_folder, write_durably

LINGER = Path("/var/lib/systemd/linger")


@click.command("install", context_settings={"ignore_unknown_options": True})
@click.option("--memory", default="300M", show_default=True, help="End and restart the agent when it takes more.")
@click.option("--no-start", is_flag=True, help="Write the unit and do not start it.")
@click.argument("options", nargs=-1, type=click.UNPROCESSED, metavar="[RUN OPTIONS]...")
@home_option
def install(memory: str, no_start: bool, options: tuple[str, ...], home: Path) -> None:
    """Keep the agent running as a service of yours; further options are those of `edgewise device run`.

    The service yields to everything else (nice, idle input and output), may write the device's folder alone, and is
    ended when it takes too much memory. A broker's password goes into the file `environment` in the device's folder, as
    EDGEWISE_PASSWORD=…, readable by you alone.

    \b
    Example:
      edgewise device install --broker mqtt://broker.example --device pi-7
    """
    if any(option.split("=")[0] == "--password" for option in options):
        raise ConfigError("device install: a unit is no place for a password; put EDGEWISE_PASSWORD=… into the file "
                          f"{Home(home).path / 'environment'}")  # fmt: skip
    with run.make_context("edgewise device run", [*options, "--home", str(home)]) as told:  # wrong options are told now
        bundle = find_bundle(Home(home), told.params["bundle"])
        if bundle is None and not (told.params["broker"] and told.params["device"]):
            raise ConfigError(
                "device install: join a fleet first (edgewise device join BUNDLE), or name --broker and --device"
            )
    folder = Home(home).path
    command = [sys.executable, "-m", "edgewise", "device", "run", "--home", str(folder), "--wait", *options]
    path = unit_path()
    make_folder(path.parent)
    write_durably(path, unit(command, folder, cwd=Path.cwd(), memory=memory).encode())
    click.echo(f"Wrote {path}.")
    if no_start or not _systemctl("daemon-reload"):
        click.echo(f"Start it with: systemctl --user daemon-reload && systemctl --user enable --now {NAME}")
    elif not _systemctl("enable", "--now", NAME):
        raise UnavailableError(f"systemctl could not start {NAME}; systemctl --user status {NAME} says why")
    else:
        click.echo("Started. edgewise device status shows what it does; journalctl --user -u edgewise-device its log.")
    if not (LINGER / getpass.getuser()).exists():
        click.echo("So that it also runs while you are not logged in: loginctl enable-linger")


@click.command("uninstall")
@home_option
def uninstall(home: Path) -> None:
    """Stop the service and remove its unit; the device's folder stays.

    \b
    Example:
      edgewise device uninstall
    """
    path = unit_path()
    if not path.exists():
        raise ConfigError(f"device uninstall: there is no {path}")
    _systemctl("disable", "--now", NAME)
    path.unlink()
    _systemctl("daemon-reload")
    click.echo(f"Removed {path}. The examples and the log are still in {Home(home).path}.")


def _systemctl(*words: str) -> bool:
    """Tell the owner's systemd; return whether there is one and it did what it was told."""
    try:
        done = subprocess.run(["systemctl", "--user", *words], capture_output=True, check=False, timeout=60)  # noqa: S603, S607
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
