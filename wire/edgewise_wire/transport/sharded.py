"""Several connections that look like one: blobs are spread over all of them, everything else keeps to the first.

Hosted brokers limit what one connection may publish in a second (AWS IoT Core: 100 messages, 512 KB). A round's weights
of 5.7 MB would take twelve seconds to publish over one such connection.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

from edgewise_wire.errors import ConfigError
from edgewise_wire.transport.base import Event, Message, Transport

SPREAD = "/blob/"


class ShardedTransport:
    """A `Transport` over several; only what is published on blob topics is spread, since order matters elsewhere.

    Order holds per topic: a topic's messages always take the same connection.

    Args:
        links: connected transports with client ids of their own; the first carries subscriptions and all that is small.

    Raises:
        ConfigError: if there is none.
    """

    def __init__(self, links: Sequence[Transport]) -> None:
        if not links:
            raise ConfigError("sharded transport: expected at least one connection, got none")
        self._first = links[0]
        self._links = list(links)

    def publish(self, topic: str, payload: bytes, *, retain: bool = False, qos: int = 1) -> None:
        """Hand a message over. Raises TransportError if the link it takes has no room."""
        link = self._first
        if SPREAD in topic:
            link = self._links[zlib.crc32(topic.encode()) % len(self._links)]
        link.publish(topic, payload, retain=retain, qos=qos)

    def subscribe(self, *filters: str) -> None:
        """Ask for messages on the first connection."""
        self._first.subscribe(*filters)

    def unsubscribe(self, *filters: str) -> None:
        """Stop asking for them."""
        self._first.unsubscribe(*filters)

    def poll(self, timeout: float = 0.0) -> Event | None:
        """Return the next event of the first connection; the others mend themselves and have nothing to tell."""
        for link in self._links[1:]:
            while (event := link.poll(0.0)) is not None:
                if isinstance(event, Message):  # nobody subscribed there
                    return event
        return self._first.poll(timeout)

    @property
    def pending(self) -> int:
        """How many messages wait on the busiest connection: that is the one to be watched."""
        return max(link.pending for link in self._links)

    def close(self, *, flush: float = 1.0) -> None:
        """Close every connection."""
        for link in reversed(self._links):
            link.close(flush=flush)
