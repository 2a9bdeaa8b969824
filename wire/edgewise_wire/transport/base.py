"""The one seam through which messages leave and enter: a `Transport`.

Two things implement it: `MqttTransport` over real sockets and `MemoryTransport` for simulation and tests. Both deliver
by polling: the owner calls `poll` from its own loop, so no callback ever runs in a foreign thread.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeAlias


@dataclass(frozen=True, slots=True)
class Connected:
    """The link is up, or up again; the transport has already renewed its subscriptions."""


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The link is down; the transport goes on trying. `reason` is a sentence for people."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """One message as it came: its topic, its bytes, and whether the broker had kept it (`retained`)."""

    topic: str
    payload: bytes
    retained: bool = False


Event: TypeAlias = "Connected | Disconnected | Message"


@dataclass(frozen=True, slots=True)
class Will:
    """What the broker publishes for us when the link breaks without a goodbye (MQTT 3.1.1 §3.1.2.5)."""

    topic: str
    payload: bytes
    retain: bool = True


class Transport(Protocol):
    """A link to a broker. Delivery is at least once; order holds per topic while the link holds."""

    def publish(self, topic: str, payload: bytes, *, retain: bool = False, qos: int = 1) -> None:
        """Hand a message over for sending; it may wait until the link is up.

        Raises:
            TransportError: if the link is down and the bounded outbox is full.
        """

    def subscribe(self, *filters: str) -> None:
        """Ask for messages whose topic matches (`+` and `#` as in MQTT); kept over reconnects."""

    def unsubscribe(self, *filters: str) -> None:
        """Stop asking for them."""

    def poll(self, timeout: float = 0.0) -> Event | None:
        """Return the next event, waiting `timeout` seconds at most; `None` if there was none."""

    @property
    def pending(self) -> int:
        """How many published messages the broker has not yet acknowledged."""

    def close(self, *, flush: float = 1.0) -> None:
        """Send what is pending for `flush` seconds at most, say goodbye (so that no will is published) and stop."""
