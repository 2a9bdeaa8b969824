"""The coordinator's end of the wire: envelopes, message ids, and counts of what went over it."""

from __future__ import annotations

import secrets
from collections import Counter

from edgewise_coordinator import refusals
from edgewise_coordinator.flood import FloodGate
from edgewise_coordinator.members import Everyone, Members, Seal
from edgewise_wire import topics
from edgewise_wire.clock import Clock, SystemClock
from edgewise_wire.codec import decode, encode
from edgewise_wire.errors import ProtocolError, TransportError
from edgewise_wire.messages import Assignment, Body, Envelope
from edgewise_wire.transport.base import Message, Transport

ROUND_MAX = (1 << 63) - 1  # what SQLite can hold; the wire can say twice as much


class Link:
    """Says things to devices of one fleet and reads what they say.

    `refused` counts, by reason, what peers sent that was not taken; `unsent` what the transport had no room for.
    `members` says whom to listen to, `seal` signs assignments; `up` is whether the broker is there, as far as we heard.
    """

    def __init__(
        self,
        fleet: str,
        transport: Transport,
        clock: Clock | None = None,
        *,
        members: Members | None = None,
        seal: Seal | None = None,
    ) -> None:
        self.fleet = fleet
        self.transport = transport
        self.members: Members = members or Everyone()
        self._seal = seal
        self.up = True
        self._gate = FloodGate(clock or SystemClock())
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
        if self._seal is not None and isinstance(body, Assignment):
            self._next_id += 1
            payload = self._seal(device, Envelope(self.fleet, round_id, self._next_id, body))
        else:
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
        found = self._check(source.device, message.payload)
        if isinstance(found, str):
            self.refused[found] += 1
            return None
        return source.device, found

    def _check(self, device: str, payload: bytes) -> Envelope | str:
        """Return the message, or the kind of its refusal; the cheapest questions come first."""
        if not self.members.admits(device):
            return refusals.NOT_A_MEMBER
        if not self._gate.passes(device):
            return refusals.FLOOD
        try:
            envelope = decode(payload)
        except ProtocolError:
            return refusals.INVALID
        if envelope.fleet != self.fleet or envelope.protocol != topics.PROTOCOL:
            return refusals.FOREIGN
        return refusals.IMPOSSIBLE_ROUND if envelope.round > ROUND_MAX else envelope
