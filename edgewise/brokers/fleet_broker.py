"""Mosquitto with the configuration of a fleet's directory; what it refuses goes to `broker/refusals.log`."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from typing import IO

from edgewise.brokers.mosquitto import find_mosquitto
from edgewise.brokers.process import BrokerProcess
from edgewise_coordinator.broker_log import BrokerWatch, RefusalWriter
from edgewise_coordinator.fleet_directory import FleetDirectory
from edgewise_wire.transport.address import parse_address

_NOISE = ("does not contain '%c' or '%u'", "should not be run as root")


class FleetBroker(BrokerProcess):
    """A fleet's own broker: TLS, certificates, an access list.

    Raises:
        UnavailableError: if Mosquitto is not installed.

    Example:
        >>> with FleetBroker(FleetDirectory(Path("fleets/home"))) as broker:  # doctest: +SKIP
        ...     print(broker.url)
    """

    name = "Mosquitto"
    tls = True

    def __init__(self, fleet: FleetDirectory) -> None:
        self._binary = find_mosquitto()
        self._fleet = fleet
        folder = fleet.mosquitto_configuration.parent
        super().__init__(fleet.bind or "0.0.0.0", parse_address(fleet.broker).port, folder / "mosquitto.log")  # noqa: S104

    def _arguments(self) -> Sequence[str]:
        return [self._binary, "-c", str(self._fleet.mosquitto_configuration)]

    def _open_output(self) -> IO[bytes]:
        """Give Mosquitto a pipe; a thread reads it until Mosquitto has ended."""
        self.log.touch()  # what it said last is read from there, also where it said nothing
        reader, writer = os.pipe()
        lines = os.fdopen(reader, "r", encoding="utf-8", errors="replace")
        threading.Thread(target=self._keep, args=(lines,), name="broker-log", daemon=True).start()
        return os.fdopen(writer, "wb")

    def _keep(self, lines: IO[str]) -> None:
        watch, refusals = BrokerWatch(self._fleet.fleet), RefusalWriter(self._fleet.refusals)
        with lines, self.log.open("a", encoding="utf-8") as log:
            for line in lines:
                found = watch.read(line)
                if found is not None:
                    refusals.write(line.split(": ", 1)[0], found)
                elif ("Error" in line or "Warning" in line) and not any(words in line for words in _NOISE):
                    log.write(line)
                    log.flush()
