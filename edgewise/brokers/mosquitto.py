"""Eclipse Mosquitto with a configuration written for one run."""

from __future__ import annotations

import getpass
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from edgewise.brokers.process import BrokerProcess
from edgewise_wire.errors import ConfigError, UnavailableError

_PACKET_MAX = 2 * 1024 * 1024 + 1024  # nothing of edgewise's is larger; Mosquitto 2.0 would take 256 MiB


class Mosquitto(BrokerProcess):
    """Mosquitto as a child process, listening on one address.

    Anyone who reaches that address may do anything there unless `extra` says otherwise, so it is the loopback by
    default. Mosquitto's own limits stay as they are, above all 1,000 messages queued for a client: more are dropped.

    Args:
        directory: gets `mosquitto.conf`, `mosquitto.log` and what is kept.
        port: 0 takes a free one.
        host: the address to listen on.
        extra: more lines of configuration, after the listener's: `acl_file …`, `cafile …`.
        keep: keep retained messages over a restart.
        allow_anonymous: let clients in without a user name.
        tls: say so if `extra` makes the listener speak TLS: the url becomes `mqtts://`.

    Raises:
        UnavailableError: if Mosquitto is not installed or the port cannot be had.

    Example:
        >>> with Mosquitto(Path("build/broker")) as broker:  # doctest: +SKIP
        ...     MqttTransport(broker.url, "me").connect()
    """

    name = "Mosquitto"

    def __init__(
        self,
        directory: str | Path,
        port: int = 0,
        *,
        host: str = "127.0.0.1",
        extra: Sequence[str] = (),
        keep: bool = False,
        allow_anonymous: bool = True,
        tls: bool = False,
    ) -> None:
        self._binary = find_mosquitto()
        self.directory = Path(directory).absolute()
        self.directory.mkdir(parents=True, exist_ok=True)
        if any(character in str(self.directory) for character in "\n\r"):
            raise ConfigError(f"directory {str(directory)!r}: a line break cannot stand in Mosquitto's configuration")
        super().__init__(host, port, self.directory / "mosquitto.log")
        self.tls = tls
        self.configuration = self.directory / "mosquitto.conf"
        self._lines = self._make_lines(list(extra), keep, allow_anonymous)

    def _make_lines(self, extra: list[str], keep: bool, allow_anonymous: bool) -> list[str]:
        return [
            # As root it would become the user 'mosquitto', who cannot write into this folder.
            *([f"user {getpass.getuser()}"] if os.geteuid() == 0 else []),
            "log_dest stderr",
            "log_type error",
            "log_type warning",
            f"persistence {'true' if keep else 'false'}",
            *([f"persistence_location {self.directory}/", "autosave_interval 30"] if keep else []),
            f"max_packet_size {_PACKET_MAX}",
            f"allow_anonymous {'true' if allow_anonymous else 'false'}",
            f"listener {self.port} {self.host}",
            *extra,
        ]

    def _arguments(self) -> Sequence[str]:
        self.configuration.write_text("\n".join(self._lines) + "\n", encoding="utf-8")
        return [self._binary, "-c", str(self.configuration)]


def find_mosquitto() -> str:
    """Return the path of Mosquitto's program.

    Raises:
        UnavailableError: if it is not installed.
    """
    places = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin"))
    found = shutil.which("mosquitto", path=places)
    if found is None:
        raise UnavailableError("Mosquitto is not installed: `apt install mosquitto`, or use `--broker embedded`")
    return found
