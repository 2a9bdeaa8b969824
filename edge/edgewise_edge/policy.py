"""What the owner of a device allows, whatever a coordinator asks."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from edgewise_edge.correction import CORRECTIONS
from edgewise_edge.encoding import unknown
from edgewise_wire.errors import ConfigError
from edgewise_wire.messages import Assignment, Kind

MEGABYTE = 1_000_000


@dataclass(frozen=True, slots=True)
class Policy:
    """The owner's limits; the defaults suit a Raspberry Pi on a home network.

    Attributes:
        min_examples: the device takes part only with at least this many examples of its own.
        max_epochs: the most passes over the examples that a round may ask for.
        max_examples: the most examples used in one round, 0 for all; a larger request is cut down to it.
        max_megabytes: the most that one round may move, both directions together, in 10^6 bytes.
        max_minutes: the most time one round may take; a longer deadline is cut down to it.
        min_separation: seconds that must lie between two rounds.
    """

    min_examples: int = 1
    max_epochs: int = 20
    max_examples: int = 0
    max_megabytes: float = 200.0
    max_minutes: float = 120.0
    min_separation: float = 0.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
                raise ConfigError(f"policy {field.name}: expected a number of at least 0, got {value!r}")
        if self.min_examples < 1:
            raise ConfigError(f"policy min_examples: expected at least 1, got {self.min_examples}")

    def examples_used(self, asked: int, held: int) -> int:
        """Return how many of `held` examples a round that asks for `asked` (0 = all) may use."""
        return min(limit for limit in (held, asked or held, self.max_examples or held))

    def seconds_allowed(self, deadline: float) -> float:
        """Return the seconds a round may take: its deadline where it states one, the owner's limit at the most."""
        most = 60.0 * self.max_minutes
        return min(deadline, most) if math.isfinite(deadline) and deadline > 0 else most

    def refusal(self, asked: Assignment, *, held: int, traffic: int) -> str | None:
        """Return why this device does not take an assignment, or `None` if it does.

        Args:
            asked: the assignment.
            held: the examples of the kind it asks for.
            traffic: the bytes that would move: what must be fetched and what must be sent.
        """
        return _malformed(asked) or self._over_a_limit(asked, held, traffic)

    def _over_a_limit(self, asked: Assignment, held: int, traffic: int) -> str | None:
        if asked.kind == Kind.EVALUATE and not held:
            return "this device has no held-out examples"
        if asked.kind == Kind.TRAIN and held < self.min_examples:
            return f"this device has {held} examples, its owner asks for at least {self.min_examples}"
        if asked.kind == Kind.TRAIN and asked.epochs > self.max_epochs:
            return f"{asked.epochs} epochs were asked for, the owner allows at most {self.max_epochs}"
        if traffic > self.max_megabytes * MEGABYTE:
            return f"the round would move {traffic / MEGABYTE:.1f} MB, the owner allows {self.max_megabytes:g} MB"
        return None


def _malformed(asked: Assignment) -> str | None:
    if asked.kind not in tuple(Kind):
        return f"assignment kind {asked.kind} is not known to this version"
    if why := unknown(asked):
        return why
    if asked.kind == Kind.EVALUATE:
        return None
    if not (math.isfinite(asked.mu) and asked.mu >= 0):
        return f"proximal weight mu {asked.mu}: expected a number of at least 0"
    if asked.correction not in CORRECTIONS:
        return f"the correction {asked.correction!r} is not known to this version"
    if asked.epochs < 1:
        return "no epochs were asked for"
    if not (math.isfinite(asked.learning_rate) and asked.learning_rate > 0):
        return f"learning rate {asked.learning_rate}: expected a number above 0"
    return None


def load_policy(path: Path) -> Policy:
    """Read the owner's limits from a JSON file; what it does not name keeps its default.

    Raises:
        ConfigError: if the file is no JSON object, names an unknown limit, or a limit is out of its range.
    """
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        return Policy()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"policy file {path}: cannot be read ({error})") from error
    try:
        found: Any = json.loads(text)
    except ValueError as error:
        raise ConfigError(f"policy file {path}: not JSON ({error})") from error
    known = [field.name for field in fields(Policy)]
    if not isinstance(found, dict) or not set(found) <= set(known):
        raise ConfigError(f"policy file {path}: expected an object with some of {', '.join(known)}")
    return Policy(**found)


def save_policy(path: Path, policy: Policy) -> None:
    """Write the owner's limits."""
    path.write_text(json.dumps(asdict(policy), indent=2) + "\n", "utf-8")
