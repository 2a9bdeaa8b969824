"""What `--broker` may say, for every command that has it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgewise.brokers.embedded import EmbeddedBroker
from edgewise.brokers.mosquitto import Mosquitto
from edgewise.brokers.process import BrokerProcess
from edgewise_wire.errors import ConfigError
from edgewise_wire.transport.address import parse_address

KINDS = ("embedded", "mosquitto")
BROKER_HELP = "mqtt://host:port or mqtts://host:port; or 'embedded' or 'mosquitto' to start one here."


def check_broker(broker: str) -> None:
    """Check what a `--broker` says before anything is started. Raises ConfigError if it is neither address nor kind."""
    if "://" in broker:
        parse_address(broker)
    elif broker not in KINDS:
        raise ConfigError(f"broker {broker!r}: expected {' or '.join(KINDS)}, or an address such as mqtt://host:1883")


def make_broker(kind: str, directory: Path, *, host: str = "127.0.0.1", port: int = 0) -> BrokerProcess:
    """Return a broker of that kind, not yet started; its log and configuration go into `directory`.

    Raises:
        ConfigError: if there is no such kind.
        UnavailableError: if it is not installed or the port cannot be had.
    """
    check_broker(kind)
    directory.mkdir(parents=True, exist_ok=True)
    if kind == "mosquitto":
        return Mosquitto(directory, port, host=host)
    return EmbeddedBroker(host, port, log=directory / "broker.log")


@contextmanager
def open_broker(broker: str, directory: Path) -> Iterator[str]:
    """Give the url of a broker: the one named, or one started on a free port of the loopback until the block ends.

    Raises:
        ConfigError: if `broker` is neither an address nor a kind.
        UnavailableError: if it cannot be started.
    """
    check_broker(broker)
    if "://" in broker:
        yield broker
    else:
        with make_broker(broker, directory) as process:
            yield process.url
