"""A broker as a child process: start it and know when it answers, stop it, kill it, start it again on its port."""

from __future__ import annotations

import contextlib
import errno
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, TypeVar

from edgewise_wire.errors import UnavailableError
from edgewise_wire.transport.address import BrokerAddress

_Self = TypeVar("_Self", bound="BrokerProcess")

_READY_SECONDS = 30.0  # a small board under load takes its time
_STOP_SECONDS = 5.0
# CONNECT of MQTT 3.1.1 with a clean session and the client id "ew-probe" (§3.1), then DISCONNECT (§3.14).
_CONNECT = b"\x10\x14\x00\x04MQTT\x04\x02\x00\x0a\x00\x08ew-probe"
_DISCONNECT = b"\xe0\x00"


class BrokerProcess(ABC):
    """A broker that runs as a child process; a context manager that starts and stops it.

    Args:
        host: the address to listen on.
        port: the port; 0 takes a free one and keeps it over restarts.
        log: the file that gets what the broker prints.

    Raises:
        UnavailableError: if the port cannot be had.
    """

    name = "broker"
    tls = False

    def __init__(self, host: str, port: int, log: Path) -> None:
        self.host = host
        self.port = port or free_port(host)
        self.log = log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The address for clients on this machine, or for whoever reaches `host`."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(self.host, self.host)  # noqa: S104
        return str(BrokerAddress(host, self.port, tls=self.tls))

    @property
    def pid(self) -> int | None:
        """The process's number while it runs."""
        return self._process.pid if self.running and self._process else None

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.poll() is None

    @abstractmethod
    def _arguments(self) -> Sequence[str]:
        """Return the command that runs the broker in the foreground."""

    def _open_output(self) -> IO[bytes]:
        """Return what the broker prints to."""
        return self.log.open("ab")

    def start(self: _Self) -> _Self:
        """Start it and return when it answers to a CONNECT; does nothing if it runs.

        Raises:
            UnavailableError: if the port is in use, or it does not answer in half a minute.
        """
        if self.running:
            return self
        check_port(self.host, self.port)
        arguments = self._arguments()
        with self._open_output() as output:
            # A session of its own: Ctrl-C in the terminal is for us to answer. Its input ends when we do.
            self._process = subprocess.Popen(  # noqa: S603
                arguments, stdin=subprocess.PIPE, stdout=output, stderr=output, start_new_session=True
            )
        try:
            self._wait_until_ready()
        except BaseException:
            self.kill()
            raise
        return self

    def stop(self) -> None:
        """Ask it to end, and kill it if it does not within five seconds."""
        if self._process is not None:
            if self.running:
                self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_STOP_SECONDS)
            self.kill()

    def kill(self) -> None:
        """End it at once, as a crash would (SIGKILL): no will is published, no memory survives."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            if self._process.stdin:
                self._process.stdin.close()
            self._process = None

    def wait(self, timeout: float | None = None) -> int | None:
        """Wait for the process to end by itself and return its exit status; `None` if it still runs."""
        if self._process is None:
            return None
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(timeout)
        return None

    def __enter__(self: _Self) -> _Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        while time.monotonic() < deadline:
            if not self.running:
                raise UnavailableError(f"{self.name} on {self.url} ended at once: {self._last_words()}")
            if answers(self.url, self.port, tls=self.tls):
                return
            time.sleep(0.02)
        raise UnavailableError(f"{self.name} on {self.url} does not answer after {_READY_SECONDS:g} s; see {self.log}")

    def _last_words(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return " ".join(lines[-2:])[:500] if lines else f"it printed nothing to {self.log}"


def free_port(host: str = "127.0.0.1") -> int:
    """Return a TCP port that nobody listens on at this moment."""
    with _bound(host, 0) as listener:
        return int(listener.getsockname()[1])


def check_port(host: str, port: int) -> None:
    """Return if a server may listen there.

    Raises:
        UnavailableError: if somebody listens there already, or we may not.
    """
    _bound(host, port).close()


def answers(url: str, port: int, *, tls: bool = False) -> bool:
    """Return whether something that speaks MQTT answers at `url`; behind TLS, whether it takes connections."""
    host = url.split("://", 1)[1].rpartition(":")[0].strip("[]")
    with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=2.0) as link:
        if tls:
            return True
        link.sendall(_CONNECT)
        accepted = link.recv(4)[:2] == b"\x20\x02"  # CONNACK, whether it says yes or no
        link.sendall(_DISCONNECT)
        return accepted
    return False


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        # Connections of a broker that has just gone linger for a minute; they are no reason to refuse the next one.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen()
    except (OSError, OverflowError) as error:
        listener.close()
        raise UnavailableError(_why_no_port(host, port, error)) from error
    return listener


def _why_no_port(host: str, port: int, error: Exception) -> str:
    number = getattr(error, "errno", None)
    if number == errno.EADDRINUSE:
        return f"port {port} on {host} is in use; stop what listens there or choose another port (--port)"
    if number == errno.EACCES:
        return f"port {port} on {host}: only root may listen below 1024; choose another port (--port)"
    return f"port {port} on {host}: cannot listen there ({error}); choose an address of this machine (--host, --port)"
