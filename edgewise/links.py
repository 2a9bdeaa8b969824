"""What a coordinator is reached by: one or several connections to the broker, and a side channel over HTTP."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from edgewise_coordinator.blob_server import BlobServer
from edgewise_coordinator.server import Coordinator
from edgewise_wire.errors import ConfigError
from edgewise_wire.transport.base import Transport
from edgewise_wire.transport.mqtt import MqttTransport
from edgewise_wire.transport.sharded import ShardedTransport

CONNECTIONS_MAX = 64


@contextlib.contextmanager
def connected(make: Callable[[str], MqttTransport], name: str, connections: int) -> Iterator[Transport]:
    """Give a link to the broker over so many connections, until the block ends; `make(client_id)` makes each.

    Raises:
        ConfigError: if the number is not 1 to 64.
        TransportError: if the broker cannot be reached.
    """
    if not 1 <= connections <= CONNECTIONS_MAX:
        raise ConfigError(f"connections: expected 1 to {CONNECTIONS_MAX}, got {connections}")
    names = [name, *(f"{name}-{number}" for number in range(1, connections))]
    with contextlib.ExitStack() as stack:
        links = []
        for each in names:
            link = make(each)
            stack.callback(link.close)
            links.append(link.connect())
        yield links[0] if connections == 1 else ShardedTransport(links)


@contextlib.contextmanager
def side_channel(coordinator: Coordinator, where: str | None, public: str = "") -> Iterator[None]:
    """Serve the coordinator's blobs over HTTP at `where` (HOST:PORT) until the block ends; nothing if it is `None`.

    Raises:
        ConfigError: if `where` or `public` cannot be read, or only `public` is given.
        UnavailableError: if nobody can listen there.
    """
    if where is None:
        if public:
            raise ConfigError("--http-url without --http: say where to listen, for example --http 127.0.0.1:8080")
        yield
        return
    server = BlobServer(where, coordinator.publisher.find, public)
    coordinator.publisher.url = server.url
    try:
        yield
    finally:
        server.close()
