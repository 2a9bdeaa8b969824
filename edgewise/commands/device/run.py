"""`edgewise device run`: the agent as a process."""

from __future__ import annotations

import contextlib
import gc
import logging
import secrets
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click

from edgewise.commands.device.membership import find_membership
from edgewise.commands.device.options import home_option
from edgewise_edge.home import Home
from edgewise_wire.errors import UnavailableError

if TYPE_CHECKING:
    from edgewise_edge.intake import Intake
    from edgewise_edge.store import ExampleStore

log = logging.getLogger("edgewise.device")

KEEP_SECONDS = 10.0  # from the end of training to the evaluation of what came of it, in a round that goes well


@click.command("run")
@click.option("--broker", envvar="EDGEWISE_BROKER", help="mqtt://host[:port] or mqtts://host[:port].")
@click.option("--fleet", default="home", show_default=True, envvar="EDGEWISE_FLEET", help="The fleet to take part in.")
@click.option("--device", envvar="EDGEWISE_DEVICE", help="This device's name in the fleet.")
@click.option(
    "--bundle",
    envvar="EDGEWISE_BUNDLE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="What `edgewise fleet enroll` made: broker, fleet, name and papers. [default: the one joined with]",
)
@click.option("--username", envvar="EDGEWISE_USERNAME", help="For the broker; the password is $EDGEWISE_PASSWORD.")
@click.option("--password", envvar="EDGEWISE_PASSWORD", hidden=True)
@click.option("--ca", type=click.Path(path_type=Path), help="The authority that signed the broker's certificate.")
@click.option("--cert", type=click.Path(path_type=Path), help="This device's certificate.")
@click.option("--key", type=click.Path(path_type=Path), help="The certificate's key.")
@click.option("--threads", type=click.IntRange(1, 64), default=1, show_default=True, help="Threads to train with.")
@click.option(
    "--keep-trainer",
    type=click.FloatRange(0.0),
    default=KEEP_SECONDS,
    show_default=True,
    metavar="SECONDS",
    help="How long the process that trained stays in memory for the next round.",
)
@click.option("--watch", type=click.Path(path_type=Path), help="A folder whose text files become examples.")
@click.option("--person", help="Whose messages to take of watched files with several people's.")
@click.option("--wait", is_flag=True, help="Go on trying if the broker is not there yet (a service at boot).")
@click.option("--no-conditions", is_flag=True, help="Train also when hot, loaded, on battery, … (for a try-out).")
@click.option("--quiet", is_flag=True, help="Say nothing but warnings.")
@home_option
def run(
    broker: str | None,
    fleet: str,
    device: str | None,
    bundle: Path | None,
    username: str | None,
    password: str | None,
    ca: Path | None,
    cert: Path | None,
    key: Path | None,
    threads: int,
    keep_trainer: float,
    watch: Path | None,
    person: str | None,
    wait: bool,
    no_conditions: bool,
    quiet: bool,
    home: Path,
) -> None:
    """Take part until stopped (Ctrl-C or SIGTERM); each change of state is one line on standard error.

    \b
    Example:
      edgewise device run --broker mqtt://127.0.0.1:1883 --fleet home --device pi-7
      edgewise device run --bundle pi-7.bundle
    """
    from edgewise_edge import conditions
    from edgewise_edge.agent import Agent
    from edgewise_edge.apart import Apart
    from edgewise_edge.host import DeviceHost, trim
    from edgewise_edge.link import Identity
    from edgewise_edge.own import Own
    from edgewise_wire.transport.address import TlsFiles
    from edgewise_wire.transport.mqtt import MqttTransport

    logging.basicConfig(level=logging.WARNING if quiet else logging.INFO, format="%(asctime)s %(message)s")
    folder = Home(home)
    own = Own(folder)
    member = find_membership(folder, bundle, broker, fleet, device, TlsFiles(ca, cert, key))
    identity = Identity(member.fleet, member.device, secrets.randbits(63))
    with folder.locked(), own.store() as store, stopped_by_signals() as stop:
        store.check_key()
        transport = MqttTransport(
            member.broker, f"{member.fleet}.{member.device}", will=identity.will,
            username=username, password=password, ca=member.tls.ca, cert=member.tls.cert, key=member.tls.key,
        )  # fmt: skip
        watched = () if no_conditions else conditions.watch(own.machine(), own.clock)
        host = DeviceHost(folder, store, threads=threads, conditions=(own.policy, *watched))
        agent = Agent(
            folder, transport, identity, host,
            clock=own.clock, policy=own.policy, metered=lambda: conditions.metered(watched), vouches=member.vouches,
            computing=Apart(threads, keep_trainer, own.clock),
            papers=member.papers,
        )  # fmt: skip
        try:
            transport.start() if wait else transport.connect()
            with intake(folder, store, watch, person):
                gc.collect()
                trim()  # what reading the modules took and nobody needs again
                agent.run(stop)
        finally:
            agent.close()
    log.info("stopped")


def intake(home: Home, store: ExampleStore, watch: Path | None, person: str | None) -> Intake:
    """Return what takes in sentences while the agent runs; a socket whose path is too long is done without."""
    from edgewise_edge.intake import ExampleSocket, Intake, WatchedFolder

    folder = WatchedFolder(watch, store, home.watched, person) if watch else None
    try:
        return Intake(ExampleSocket(home.socket, store), folder)
    except UnavailableError as error:
        log.warning("%s", error)
        return Intake(None, folder)


@contextlib.contextmanager
def stopped_by_signals() -> Iterator[threading.Event]:
    """Give an event that SIGTERM and Ctrl-C set; a second signal ends the process at once."""
    stop = threading.Event()

    def on_signal(number: int, _frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        stop.set()

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
