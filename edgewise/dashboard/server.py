"""Serving the dashboard from a thread of its own."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import secrets
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from edgewise.dashboard.app import Dashboard
from edgewise.dashboard.option import LOCAL_PORT
from edgewise_coordinator.listen import parse_listen
from edgewise_wire.errors import UnavailableError

TOKEN_VARIABLE = "EDGEWISE_DASHBOARD_TOKEN"  # noqa: S105  the variable's name
PATIENCE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Serving:
    """Where a dashboard is; `link` has the token in it, unless the operator set one and so knows it."""

    url: str
    link: str


@contextlib.contextmanager
def serve(directory: Path, where: str) -> Iterator[Serving]:
    """Serve the dashboard of a coordinator's directory at `where` (HOST:PORT) until the block ends.

    If the usual port is taken, a free one will do; any other that is taken is an error.

    Raises:
        ConfigError: if that is no address.
        UnavailableError: if nobody can listen there.
    """
    host, port = parse_listen(where, "dashboard")
    local = _is_loopback(host)
    chosen = os.environ.get(TOKEN_VARIABLE, "")
    token = chosen or secrets.token_urlsafe(16)
    dashboard = Dashboard(directory, token, keyboard=local)
    listening = _listen(host, port)
    port = listening.getsockname()[1]
    settings = uvicorn.Config(
        dashboard.app,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=1,
        timeout_keep_alive=30,
        limit_concurrency=128,
    )
    server = uvicorn.Server(settings)
    thread = threading.Thread(target=server.run, args=([listening],), name="dashboard", daemon=True)
    thread.start()
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}/"
    try:
        yield Serving(url, url if chosen else f"{url}#token={token}")
    finally:
        dashboard.closing = server.should_exit = True
        thread.join(PATIENCE_SECONDS)
        listening.close()
        dashboard.close()


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for attempt in (port, 0):
        listening = socket.socket(family, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((host, attempt))
        except OSError as error:
            listening.close()
            if port != LOCAL_PORT or attempt == 0:
                raise UnavailableError(
                    f"dashboard on {host}:{port}: cannot listen there ({error.strerror}); choose another --dashboard"
                ) from error
            continue
        listening.listen(128)
        return listening
    raise AssertionError("unreachable")
