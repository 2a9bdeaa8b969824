"""The device's end of the wire: what it says goes out as messages, what comes in is decoded, checked and counted."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from edgewise_wire import topics
from edgewise_wire.codec import decode, encode
from edgewise_wire.errors import ProtocolError, TransportError
from edgewise_wire.messages import (
    Abort,
    Assignment,
    BlobChunk,
    Body,
    ChunkAck,
    ComeBackLater,
    Decline,
    Envelope,
    Presence,
    ReportAck,
    SecureInbox,
    SecureQuorum,
    SecureRoster,
    SecureSurvivors,
    UploadGrant,
)
from edgewise_wire.topics import PROTOCOL
from edgewise_wire.transport.base import Message, Transport, Will

log = logging.getLogger(__name__)

SECURE: Final = (SecureRoster, SecureInbox, SecureSurvivors, SecureQuorum)
"""What it may say in a secure round."""

HEARD: Final = (Assignment, UploadGrant, ChunkAck, ReportAck, Abort, ComeBackLater, *SECURE)
"""What a coordinator may say to a device; anything else on its `down` topic is dropped."""

SENTENCE_BYTES = 512

Vouches: TypeAlias = Callable[[str, bytes, bytes], bool]
"""`vouches(device, payload, signature)`: whether the coordinator signed this payload for this device."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a device is on the wire. `session` is drawn anew at every process start.

    Raises:
        ConfigError: if the fleet's or the device's name may not stand in a topic.
    """

    fleet: str
    device: str
    session: int

    def __post_init__(self) -> None:
        topics.check_name("fleet", self.fleet)
        topics.check_name("device", self.device)

    def presence(self, *, online: bool) -> bytes:
        """Return the encoded presence; the same message id every time, since it is retained and says a state."""
        return encode(Envelope(self.fleet, 0, 0, Presence(online, self.session)))

    @property
    def will(self) -> Will:
        """What the broker says for this device when its link breaks."""
        return Will(topics.device_state(self.fleet, self.device), self.presence(online=False))


@dataclass(frozen=True, slots=True)
class Heard:
    """A message that passed every check."""

    round: int
    message_id: int
    body: Body


class Link:
    """Says and hears for one device.

    Attributes:
        up: whether the link is up, as far as the agent has heard.
        dropped: how many messages were of no use, by reason.
        bytes_in: the payload bytes of everything that came.
        signed: whether only assignments are taken that `vouches` says the coordinator signed.
    """

    def __init__(self, transport: Transport, identity: Identity, vouches: Vouches | None = None) -> None:
        self.signed = vouches is not None
        self._vouches = vouches
        self.transport = transport
        self.identity = identity
        self.dropped: Counter[str] = Counter()
        self.bytes_in = 0
        self.up = False
        self._topic = topics.device_up(identity.fleet, identity.device)
        self._down = topics.device_down(identity.fleet, identity.device)
        self._state = topics.device_state(identity.fleet, identity.device)
        self._said = 0

    def listen(self) -> None:
        """Ask for what is said to this device."""
        self.transport.subscribe(self._down)

    def show(self, *, online: bool) -> None:
        """Publish the presence."""
        self._publish(self._state, self.identity.presence(online=online), retain=True, qos=1)

    def say(self, body: Body, round_number: int = 0, *, qos: int = 1, to: str = "") -> bool:
        """Say something to the coordinator, or `to` an aggregator; return whether it went to the transport.

        While the link is down nothing is said: hours of repetitions would wait in the outbox, and the check-in that
        follows every reconnect tells the coordinator how things stand.
        """
        if not self.up:
            return False
        self._said += 1
        message_id = (self.identity.session + self._said) % (1 << 64)
        payload = encode(Envelope(self.identity.fleet, round_number, message_id, body))
        topic = topics.device_up_to(self.identity.fleet, self.identity.device, to) if to else self._topic
        return self._publish(topic, payload, retain=False, qos=qos)

    def hear(self, message: Message) -> Heard | None:
        """Return what a message says, or `None` if it is not for this device or not valid."""
        self.bytes_in += len(message.payload)
        try:
            envelope = decode(message.payload)
        except ProtocolError as error:
            self.drop("invalid", str(error))
            return None
        body = envelope.body
        if envelope.fleet != self.identity.fleet or envelope.protocol != PROTOCOL:
            self.drop("foreign", f"fleet {envelope.fleet[:40]!r}, protocol {envelope.protocol}")
            return None
        if isinstance(body, BlobChunk):
            expected = topics.blob_chunk(self.identity.fleet, body.hash, body.index)
        else:
            expected = self._down
        if message.topic != expected or not isinstance(body, (BlobChunk, *HEARD)):
            self.drop("misplaced", f"{type(body).__name__} on {message.topic[:120]!r}")
            return None
        if isinstance(body, Assignment) and not self._is_signed(message.payload, body.signature):
            self._drop_forged(envelope.round)
            return None
        return Heard(envelope.round, envelope.message_id, body)

    def _is_signed(self, payload: bytes, signature: bytes) -> bool:
        return self._vouches is None or self._vouches(self.identity.device, payload, signature)

    def _drop_forged(self, round_number: int) -> None:
        """Count an assignment that the coordinator did not sign, and tell the operator now and then.

        It is not declined: its round and attempt may be those of an honest one. Round 0 is no round.
        """
        self.drop("forged", f"an assignment of round {round_number} without the coordinator's signature")
        count = self.dropped["forged"]
        if not count & (count - 1):  # the 1st, 2nd, 4th, 8th, …: a flood of forgeries is not answered by another
            log.warning("refused an assignment that the coordinator did not sign (%d so far)", count)
            self.say(Decline(0, f"refused {count} assignments that the coordinator did not sign"))

    def drop(self, kind: str, detail: str) -> None:
        """Count a message that was of no use."""
        self.dropped[kind] += 1
        log.debug("dropped a message: %s (%s)", kind, detail)

    def _publish(self, topic: str, payload: bytes, *, retain: bool, qos: int) -> bool:
        try:
            self.transport.publish(topic, payload, retain=retain, qos=qos)
        except TransportError as error:
            log.debug("not sent: %s", error)
            return False
        return True


def sentence(text: str) -> str:
    """Return words for people as one line of at most 512 bytes of UTF-8, without what a terminal would obey."""
    flat = "".join(letter if letter.isprintable() else "?" for letter in " ".join(text.split()))
    return flat.encode()[:SENTENCE_BYTES].decode("utf-8", "ignore")
