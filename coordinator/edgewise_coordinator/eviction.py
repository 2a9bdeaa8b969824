"""Making a revocation bite at a running Mosquitto.

A revocation list that is read again keeps a device from coming back; it does not end the session that it has. But the
broker gives a certificate's name one session only, so a connection in the device's name ends the other one. The
authority can make that connection: with papers of its own in that name, good for ten minutes, which are not revoked.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
from pathlib import Path

from edgewise_coordinator.fleet_directory import FleetDirectory
from edgewise_coordinator.mosquitto_files import PID_FILE
from edgewise_wire import topics
from edgewise_wire.bundle import write_secret
from edgewise_wire.errors import TransportError, UnavailableError
from edgewise_wire.transport.mqtt import MqttTransport


def reload_broker(fleet: FleetDirectory) -> None:
    """Tell the Mosquitto that runs with this fleet's configuration to read its revocation list again (SIGHUP).

    Raises:
        UnavailableError: if none runs on this machine, or it belongs to another user.
    """
    pid_file = fleet.mosquitto_configuration.with_name(PID_FILE)
    advice = f"copy {fleet.path / 'broker/crl.pem'} to the broker and send it SIGHUP"
    try:
        pid = int(pid_file.read_text())
        if not _is_mosquitto(pid):
            raise UnavailableError(f"{pid_file}: no Mosquitto has that number any more; {advice}")
        os.kill(pid, signal.SIGHUP)
    except (OSError, ValueError) as error:
        raise UnavailableError(f"{pid_file}: no Mosquitto to be told on this machine ({error}); {advice}") from error


def evict(fleet: FleetDirectory, device: str, *, now: float, timeout: float = 10.0) -> None:
    """End a device's session at the broker, and clear its retained presence.

    Raises:
        UnavailableError: if the broker cannot be reached or does not take us.
    """
    papers = fleet.eviction_papers(device, now=now)
    with tempfile.TemporaryDirectory(prefix="edgewise-evict-") as folder:
        cert, key = Path(folder) / "cert.pem", Path(folder) / "key.pem"
        write_secret(cert, papers.cert)
        write_secret(key, papers.key)
        link = MqttTransport(fleet.broker, device, ca=fleet.coordinator_tls.ca, cert=cert, key=key)
        try:
            link.connect(timeout)
            link.publish(topics.device_state(fleet.fleet, device), b"", retain=True)
        except TransportError as error:
            why = f"the live session of {device!r} was not ended: {error}"
            raise UnavailableError(f"{why}; run the command again when the broker is there") from error
        finally:
            with contextlib.suppress(TransportError):
                link.close(flush=2.0)


def _is_mosquitto(pid: int) -> bool:
    found = subprocess.run(  # noqa: S603
        ["ps", "-p", str(pid), "-o", "comm="],  # noqa: S607
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return "mosquitto" in found.stdout
