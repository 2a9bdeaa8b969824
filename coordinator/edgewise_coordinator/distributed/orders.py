"""What a coordinator and its aggregators say to each other; plain values, so that any engine can carry them.

The coordinator remains the one judge and the one memory: an aggregator stores and syncs an update, says that it is
`Stored`, and forgets it only when told. The coordinator records the report, answers the device and says what it counts
(`Count`). So an aggregator needs no database: one that was killed is told everything again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from edgewise_coordinator.exact_sum import PartialSum
from edgewise_coordinator.settings import UploadSettings
from edgewise_wire.messages import UploadRequest
from edgewise_wire.transport.address import TlsFiles


@dataclass(frozen=True, slots=True)
class BrokerSettings:
    """How an aggregator reaches the broker."""

    url: str
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: TlsFiles = field(default_factory=TlsFiles)


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """Who an aggregator is: its name, its broker, and the folder that survives it."""

    name: str
    fleet: str
    broker: BrokerSettings
    directory: Path
    uploads: UploadSettings
    fault: str | None = None


@dataclass(frozen=True, slots=True)
class Open:
    """A round has begun: what an update of it is. `numbers` are float32 values, `uniform` makes every weight 1.

    Without `keep` its updates are deleted at its end, and those of earlier rounds now.
    """

    round_id: int
    encoding: str
    seed: int
    numbers: int
    uniform: bool
    keep: bool


@dataclass(frozen=True, slots=True)
class Expect:
    """This device's update of this attempt will come here."""

    round_id: int
    device: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Forget:
    """Drop what this device has sent: its report no longer counts."""

    round_id: int
    device: str


@dataclass(frozen=True, slots=True)
class Term:
    """A recorded report: what its update counts in the sum."""

    device: str
    attempt: int
    weight: float
    factor: float


@dataclass(frozen=True, slots=True)
class Count:
    """The report is recorded: add its update."""

    round_id: int
    term: Term


@dataclass(frozen=True, slots=True)
class End:
    """The round is over; nothing of it is needed any more."""

    round_id: int


Order: TypeAlias = "Open | Expect | Forget | Count | End"


@dataclass(frozen=True, slots=True)
class Stored:
    """An update is whole, checked and synced; `norm` is its L2 norm."""

    round_id: int
    device: str
    request: UploadRequest
    norm: float


@dataclass(frozen=True, slots=True)
class Refused:
    """An update was refused, with these words."""

    round_id: int
    device: str
    attempt: int
    reason: str


@dataclass(frozen=True, slots=True)
class Stray:
    """A device wants to send an update that is not expected: too late, or one that is recorded already."""

    round_id: int
    device: str
    attempt: int


Notice: TypeAlias = "Stored | Refused | Stray"


@dataclass(frozen=True, slots=True)
class Heard:
    """What an aggregator said. `incarnation` is another one after each start: then it knows nothing any more."""

    name: str
    incarnation: str
    notices: tuple[Notice, ...] = ()
    bytes_up: int = 0
    bytes_down: int = 0


@dataclass(frozen=True, slots=True)
class Lost:
    """A sum that could not be made."""

    reason: str


Summed: TypeAlias = "PartialSum | Lost"
