"""What an operator decides about rounds, checked once."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from edgewise_wire.errors import ConfigError
from edgewise_wire.transforms import get
from edgewise_wire.transforms.delta import check_downlink

UPLOAD_WINDOW = 8  # chunks in flight a slot: 1 MiB, enough for a 100 ms link at 80 Mbit/s
LEARNING_RATE_LIMIT = 1e6  # beyond it nobody learns anything


@dataclass(frozen=True, slots=True)
class RoundSettings:
    """The clockwork of a round (Bonawitz et al. 2019, §2.2); times in seconds.

    `goal` is the number of reports that closes a round (K); `over_selection` how many more devices are asked, since
    some will drop out (§9: 6–10 % do); `min_reports` how few are still a round when the deadline comes.
    """

    goal: int
    over_selection: float = 1.3
    min_reports: int = 0
    gather_timeout: float = 10.0
    selection_timeout: float = 300.0
    accept_timeout: float = 30.0
    report_timeout: float = 600.0
    offline_grace: float = 20.0
    retry_delay: float = 5.0

    def __post_init__(self) -> None:
        if self.goal < 1:
            raise ConfigError(f"cohort: expected at least 1 device, got {self.goal}")
        if not 1.0 <= self.over_selection <= 10.0:
            raise ConfigError(f"over-selection: expected 1.0 to 10.0, got {self.over_selection}")
        if not 0 <= self.min_reports <= self.goal:
            raise ConfigError(f"min-reports: expected 0 to the cohort's {self.goal}, got {self.min_reports}")
        for name in ("selection_timeout", "accept_timeout", "report_timeout"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name.replace('_', '-')}: expected seconds above 0, got {getattr(self, name)}")

    @property
    def target(self) -> int:
        """How many devices are asked: the goal times the over-selection, rounded up."""
        return math.ceil(self.goal * self.over_selection - 1e-9)

    @property
    def least(self) -> int:
        """How few reports still make a round: `min_reports`, or four fifths of the goal where it is not set."""
        return self.min_reports or max(1, math.ceil(0.8 * self.goal))


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """What a device is asked to do (McMahan et al. 2017: E, B is the model's own, η), and how it encodes its update."""

    epochs: int = 1
    learning_rate: float = 0.5
    max_examples: int = 0
    encoding: str = "float32"

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise ConfigError(f"epochs: expected at least 1, got {self.epochs}")
        if not 0 < self.learning_rate < LEARNING_RATE_LIMIT:
            raise ConfigError(
                f"learning rate: expected a positive number below {LEARNING_RATE_LIMIT:g}, got {self.learning_rate:g}"
            )
        if self.max_examples < 0:
            raise ConfigError(f"max examples: expected 0 (all) or more, got {self.max_examples}")
        get(self.encoding)  # raises ConfigError for what is none


@dataclass(frozen=True, slots=True)
class UploadSettings:
    """How updates come in. `slots` × `window` chunks are in flight at the most: 8 MiB by default.

    Updates of fewer chunks than a window share a slot.
    """

    slots: int = 8
    window: int = UPLOAD_WINDOW
    slot_timeout: float = 30.0
    max_examples: int = 10_000_000
    max_norm: float = 1e6

    def __post_init__(self) -> None:
        if self.slots < 1 or self.window < 1:
            raise ConfigError(f"upload slots and window: expected at least 1 each, got {self.slots} and {self.window}")


@dataclass(frozen=True, slots=True)
class BufferSettings:
    """Buffered asynchronous rounds (Nguyen et al. 2022); the buffer's size K is the cohort's goal.

    `concurrency` is how many devices are at work at once; on average a report is concurrency/K versions old. One that
    is more than `max_staleness` old is not waited for.
    """

    concurrency: int
    max_staleness: int = 20

    def __post_init__(self) -> None:
        if self.concurrency < 1:
            raise ConfigError(f"concurrency: expected at least 1 device at work, got {self.concurrency}")
        if self.max_staleness < 0:
            raise ConfigError(f"max staleness: expected 0 versions or more, got {self.max_staleness}")


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything a coordinator is told, but for its model, its broker and its directory.

    `evaluation_devices` is the most that are asked to evaluate a version, drawn uniformly; 0 for all who can be had.
    `max_devices` is how many names the registry holds, about 350 bytes each: a peer could make them up without end.
    `downlink` names the encoding of new versions, "" for none (see `edgewise_wire.transforms.delta`).
    """

    fleet: str
    rounds: int
    cohort: RoundSettings
    training: TrainingSettings = field(default_factory=TrainingSettings)
    uploads: UploadSettings = field(default_factory=UploadSettings)
    evaluate_every: int = 1
    evaluation_timeout: float = 120.0
    evaluation_devices: int = 0
    max_abandoned: int = 10
    keep_updates: bool = False
    seed: int = 0
    downlink: str = ""
    max_devices: int = 1_000_000
    buffer: BufferSettings | None = None

    def __post_init__(self) -> None:
        check_downlink(self.downlink)
        if self.rounds < 1:
            raise ConfigError(f"rounds: expected at least 1, got {self.rounds}")
        if self.evaluation_devices < 0:
            raise ConfigError(f"evaluation devices: expected 0 (all) or more, got {self.evaluation_devices}")
        if self.max_devices < 1:
            raise ConfigError(f"max devices: expected at least 1, got {self.max_devices}")
        if self.evaluate_every < 0:
            raise ConfigError(f"evaluate every: expected 0 (never) or more rounds, got {self.evaluate_every}")
