"""The coordinator's end of the wire: envelopes, message ids, and counts of what went over it."""

from __future__ import annotations

import secrets
from collections import Counter

from edgewise_wire import topics
from edgewise_wire.codec import decode, encode
from edgewise_wire.errors import ProtocolError, TransportError
from edgewise_wire.messages import Body, Envelope
from edgewise_wire.transport.base import Message, Transport


class Link:
    """Says things to devices of one fleet and reads what they say.

    `refused` counts, by reason, what peers sent that was not taken; `unsent` what the transport had no room for.
    """

    def __init__(self, fleet: str, transport: Transport) -> None:
        self.fleet = fleet
        self.transport = transport
        self.bytes_up = 0
        self.bytes_down = 0
        self.unsent = 0
        self.refused: Counter[str] = Counter()
        self._next_id = secrets.randbits(48)

    def listen(self) -> None:
        """Subscribe to what every device says."""
        self.transport.subscribe(topics.all_devices(self.fleet, "state"), topics.all_devices(self.fleet, "up"))

    def wrap(self, body: Body, round_id: int = 0) -> bytes:
        """Return a body inside its envelope, as bytes."""
        self._next_id += 1
        return encode(Envelope(self.fleet, round_id, self._next_id, body))

    def send(self, device: str, body: Body, round_id: int = 0) -> None:
        """Say something to a device."""
        payload = self.wrap(body, round_id)
        self.bytes_down += len(payload)
        try:
            self.transport.publish(topics.device_down(self.fleet, device), payload)
        except TransportError:
            # The link has been down for long and the outbox is full. Every message is said again when it is asked for.
            self.unsent += 1

    def read(self, message: Message) -> tuple[str, Envelope] | None:
        """Return who said what; `None` (and a count) for what is not a message of this fleet."""
        source = topics.parse_device_topic(self.fleet, message.topic)
        if source is None or not message.payload:
            return None
        self.bytes_up += len(message.payload)
        try:
            envelope = decode(message.payload)
        except ProtocolError:
            self.refused["not a valid message"] += 1
            return None
        if envelope.fleet != self.fleet or envelope.protocol != topics.PROTOCOL:
            self.refused["another fleet or protocol"] += 1
            return None
        return source.device, envelope
