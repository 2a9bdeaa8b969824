"""The broker that needs nothing installed: amqtt, in a process of its own.

`python -m edgewise.brokers.embedded HOST PORT` runs it in the foreground; it ends with SIGTERM, SIGINT, or when its
standard input ends, so that it does not outlive a parent that was killed.
"""

from __future__ import annotations

import importlib.util
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from edgewise.brokers.process import BrokerProcess
from edgewise_wire.errors import UnavailableError


class EmbeddedBroker(BrokerProcess):
    """The embedded broker as a child process: MQTT 3.1.1, no passwords, nothing kept over a restart.

    It is for one machine: tests, the demo, a first try. It carries some thousand small messages a second and some tens
    of devices; `Mosquitto` carries a fleet.

    Args:
        host: the address to listen on; anyone who reaches it may do anything there.
        port: 0 takes a free one.
        log: the file that gets what it prints; by default one among the temporary files, gone with the broker.

    Raises:
        UnavailableError: if amqtt is not installed or the port cannot be had.

    Example:
        >>> with EmbeddedBroker() as broker:
        ...     broker.url.startswith("mqtt://127.0.0.1:")
        True
    """

    name = "the embedded broker"

    def __init__(self, host: str = "127.0.0.1", port: int = 0, *, log: str | Path | None = None) -> None:
        if importlib.util.find_spec("amqtt") is None:
            raise UnavailableError("the embedded broker needs amqtt: pip install 'edgewise[coordinator]'")
        if log is None:
            self._folder = tempfile.TemporaryDirectory(prefix="edgewise-broker-")
            log = Path(self._folder.name) / "broker.log"
        super().__init__(host, port, Path(log))

    def _arguments(self) -> Sequence[str]:
        # -P: the folder we were started in must not shadow modules; it exists from Python 3.11 on.
        safe = ["-P"] if sys.version_info >= (3, 11) else []
        return [sys.executable, *safe, "-m", "edgewise.brokers.embedded", self.host, str(self.port)]


def main(arguments: Sequence[str]) -> None:
    """Run the broker until told to end."""
    from edgewise.brokers.amqtt_broker import run

    host, port = arguments
    run(host, int(port))


if __name__ == "__main__":
    main(sys.argv[1:])
