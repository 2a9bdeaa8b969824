"""`edgewise broker`: run an MQTT broker in the foreground."""

from __future__ import annotations

import signal
import tempfile
import threading
from pathlib import Path

import click

from edgewise.brokers.choose import KINDS, make_broker
from edgewise.brokers.process import BrokerProcess
from edgewise_wire.errors import UnavailableError

_LOOPBACK = ("127.", "localhost", "::1")
_LOOK_SECONDS = 0.5


@click.command(short_help="Run an MQTT broker.")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=1883, show_default=True, type=click.IntRange(0, 65_535), help="0 takes a free one.")
@click.option("--broker", "kind", default="embedded", show_default=True, type=click.Choice(KINDS), help="Which one.")
@click.option(
    "--dir",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where its log and configuration go. [default: a temporary folder]",
)
@click.option(
    "--fleet-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Run Mosquitto as this fleet's broker: TLS, a certificate for everyone. The options above are its own then.",
)
def command(host: str, port: int, kind: str, directory: Path | None, fleet_dir: Path | None) -> None:
    """Run an MQTT broker until Ctrl-C; its address is the first line on standard output.

    The embedded one needs nothing installed and suits one machine; mosquitto (`apt install mosquitto`) carries a fleet.
    Neither asks for a password: who reaches the address can read and write everything there. A fleet's own broker
    (`edgewise fleet init`, `--fleet-dir`) lets in whom the fleet has enrolled, and keeps a log of whom it did not.

    \b
    Example:
      edgewise broker --port 1883
    """
    stopped = _stop_on_signals()
    if fleet_dir is not None:
        _run_fleet_broker(fleet_dir, stopped)
        return
    with tempfile.TemporaryDirectory(prefix="edgewise-broker-") as temporary:
        process = make_broker(kind, directory or Path(temporary), host=host, port=port)
        with process:
            click.echo(process.url)
            if not host.startswith(_LOOPBACK):
                click.echo(f"Anyone who reaches {host} can use this broker: it asks for no password.", err=True)
            _watch(process, stopped)


def _run_fleet_broker(directory: Path, stopped: threading.Event) -> None:
    from edgewise.brokers.fleet_broker import FleetBroker
    from edgewise_coordinator.fleet_directory import FleetDirectory

    fleet = FleetDirectory(directory)
    with FleetBroker(fleet) as process:
        click.echo(fleet.broker)
        click.echo(f"What it refuses is told in {fleet.refusals}.", err=True)
        _watch(process, stopped)


def _stop_on_signals() -> threading.Event:
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    return stopped


def _watch(process: BrokerProcess, stopped: threading.Event) -> None:
    while not stopped.wait(_LOOK_SECONDS):
        if not process.running:
            raise UnavailableError(f"{process.name} on {process.url} ended by itself; see {process.log}")
