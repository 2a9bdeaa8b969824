"""What a bundle says about a device: which broker, which fleet, which papers, whose signature."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgewise.commands.device.options import home_option
from edgewise_edge.guarded_clock import GuardedClock
from edgewise_edge.home import Home, default_home
from edgewise_edge.link import Vouches
from edgewise_edge.own import Own
from edgewise_wire.bundle import Bundle
from edgewise_wire.errors import ConfigError, UnavailableError
from edgewise_wire.transport.address import TlsFiles

if TYPE_CHECKING:
    from edgewise_wire.crypto.enrolled import Papers

log = logging.getLogger("edgewise.device")

BUNDLE = "bundle.json"
PAPERS = "papers"
WARN_DAYS = 30


@dataclass(frozen=True, slots=True)
class Membership:
    """Where a device takes part, as whom, and whose assignments it takes (`vouches`, `None` for anyone's).

    `papers` returns what proves it to other devices in a secure round; `None` in a fleet without certificates.
    """

    broker: str
    fleet: str
    device: str
    tls: TlsFiles
    vouches: Vouches | None = None
    papers: Callable[[], Papers] | None = None


def find_bundle(home: Home, named: Path | None) -> Bundle | None:
    """Return the bundle that was named, else the one that this device joined with, else `None`."""
    joined = home.path / BUNDLE
    if named is None and not joined.exists():
        return None
    return Bundle.load(named or joined)


def of_bundle(bundle: Bundle, home: Home, broker: str | None = None) -> Membership:
    """Return what a bundle says; its papers are unpacked into the device's folder.

    Raises:
        ConfigError: if its key is none.
        UnavailableError: if signatures cannot be checked here: they are never left unchecked.
    """
    try:
        from edgewise_wire.crypto.signing import VerifyKey
    except ModuleNotFoundError as error:
        raise UnavailableError(f"a bundle needs the package {error.name!r}: pip install 'edgewise[device]'") from error
    days = max(0.0, (bundle.expires - time.time()) / 86400)
    if days < WARN_DAYS:
        log.warning("this device's certificate is good for %.0f days more; ask for a new bundle", days)
    vouches = VerifyKey.from_text(bundle.coordinator_key).vouches_for
    tls = bundle.unpack(home.path / PAPERS)

    def papers() -> Papers:
        from edgewise_wire.crypto.enrolled import Enrolled, Papers, Register

        return Papers(Enrolled(bundle.cert.encode(), bundle.key.encode()), Register(bundle.ca.encode()))

    return Membership(broker or bundle.broker, bundle.fleet, bundle.device, tls, vouches, papers)


def find_membership(
    home: Home, named: Path | None, broker: str | None, fleet: str, device: str | None, tls: TlsFiles
) -> Membership:
    """Return where this device takes part: by its bundle if there is one, else as it was told.

    Raises:
        ConfigError: if it was told too little, or two things at once.
    """
    bundle = find_bundle(home, named)
    if bundle is not None and (tls or device not in (None, bundle.device)):
        raise ConfigError(
            f"the bundle is device {bundle.device!r} with papers of its own; leave out --device, --ca, --cert, --key"
        )
    if bundle is not None:
        return of_bundle(bundle, home, broker)
    if broker is None or device is None:
        raise ConfigError("which fleet? Name --bundle FILE, or --broker URL and --device NAME")
    return Membership(broker, fleet, device, tls)


@click.command("join")
@click.argument("bundle", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--replace", is_flag=True, help="Leave the fleet that this device is in, or change its name there.")
@home_option
def join(bundle: Path, replace: bool, home: Path) -> None:
    """Join a fleet with the bundle that its operator made; from then on `edgewise device run` needs no options.

    A newer bundle of the same device and fleet takes the place of the one before.

    \b
    Example:
      edgewise device join pi-7.bundle
    """
    folder = Home(home)
    found = Bundle.load(bundle)
    _check_date(found, bundle, Own(folder).clock)
    before = find_bundle(folder, None)
    if before is not None and (before.fleet, before.device) != (found.fleet, found.device) and not replace:
        raise ConfigError(
            f"{bundle}: is for device {found.device!r} of fleet {found.fleet!r}, and this is {before.device!r} of "
            f"{before.fleet!r}: join with --replace, or give it a --home of its own"
        )
    of_bundle(found, folder)  # its papers and its key can be used, before anything is replaced
    found.save(folder.path / BUNDLE)
    where = "" if folder.path == default_home().absolute() else f" --home {home}"
    click.echo(f"This is device {found.device!r} of fleet {found.fleet!r} now. Take part: edgewise device run{where}")
    click.echo(f"Delete {bundle}: whoever has it can pretend to be this device.", err=True)


def _check_date(bundle: Bundle, path: Path, clock: GuardedClock) -> None:
    """Refuse a bundle that has expired; a machine that does not know the date leaves that to the broker."""
    date = clock.date()
    if date is None:
        log.warning("the clock is behind the last date seen: whether %s has expired is not known", path)
    elif bundle.expires <= date:
        day = time.strftime("%Y-%m-%d", time.localtime(bundle.expires))
        raise ConfigError(f"{path}: expired on {day}; ask for a new bundle (edgewise fleet enroll {bundle.device})")
