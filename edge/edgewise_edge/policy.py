"""What the owner of a device allows, whatever a coordinator asks."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from edgewise_edge.abilities import CORRECTIONS, noise_in_sum, unknown_encoding
from edgewise_edge.hours import parse_hours
from edgewise_wire.encodings import clipping_norm
from edgewise_wire.errors import ConfigError
from edgewise_wire.files import write_durably
from edgewise_wire.messages import Assignment, Kind, SecureTerms

MEGABYTE = 1_000_000
FULL = 100.0  # percent
ROUNDING = 1e-9  # a multiplier that is calculated back is not too small by its last bit


def _rule(default: Any, words: str) -> Any:
    return field(default=default, metadata={"words": words})


@dataclass(frozen=True, slots=True)
class Policy:
    """The owner's limits and rules; the defaults suit a Raspberry Pi on a home network.

    Megabytes are 10^6 bytes, both directions together; a day is the last 24 hours; 0 means no limit where nothing else
    is said. What each field is for stands in its metadata (`WORDS`), which `edgewise device policy` prints.

    Raises:
        ConfigError: if a value is of the wrong type or out of its range.
    """

    min_examples: int = _rule(1, "take part only with at least so many examples to train on")
    max_epochs: int = _rule(20, "most passes over the examples in one round")
    max_examples: int = _rule(0, "most examples used in one round; a larger request is cut down to it")
    max_megabytes: float = _rule(200.0, "most megabytes that one round may move")
    max_minutes: float = _rule(120.0, "most minutes for one round; a longer deadline is cut down to it")
    min_separation: float = _rule(0.0, "seconds between two rounds")
    max_epochs_day: int = _rule(0, "most passes over the examples a day")
    max_minutes_day: float = _rule(0.0, "most minutes of training a day")
    max_megabytes_day: float = _rule(0.0, "most megabytes a day")
    metered_megabytes: float = _rule(0.0, "most megabytes a day on a metered network; 0: stay away from those")
    require_clipping: float = _rule(0.0, "train only if updates are clipped to at most this L2 norm")
    require_noise: float = _rule(0.0, "train only if noise is promised, of at least this multiple of the clipping norm")
    min_separation_rounds: int = _rule(0, "take part at most once in so many rounds of a run; needs private rounds")
    max_participations: int = _rule(0, "take part in at most so many rounds of one run; needs private rounds")
    max_votes: int = _rule(0, "most votes in a round that looks for the fleet's words; 0: take no part in those")
    require_secure_aggregation: bool = _rule(
        False, "train only if the coordinator sees sums of updates and no single one"
    )
    min_cohort: int = _rule(0, "fewest devices of a secure round")
    min_threshold: int = _rule(0, "fewest devices whose updates are in a secure round's sum")
    on_battery: bool = _rule(False, "take part on battery too")
    min_battery: float = _rule(30.0, "then with at least so many percent")
    max_temperature: float = _rule(80.0, "most degrees Celsius; a Pi slows itself down from 80")
    when_throttled: bool = _rule(False, "take part while a Pi's firmware slows it down (heat, weak power supply)")
    max_load: float = _rule(4.0, "most load a processor core, over the last minute")
    min_free_disk: float = _rule(200.0, "least free megabytes on the disk")
    min_free_memory: float = _rule(64.0, "least megabytes of memory that other programs could take")
    hours: str = _rule("", "only in these hours, such as 22:00-06:00 or 1-5, 12-14; empty: all day")
    keep_days: float = _rule(0.0, "examples older than so many days are forgotten")
    keep_examples: int = _rule(100_000, "most examples kept; the oldest go first")
    keep_megabytes: float = _rule(16.0, "most megabytes of text kept; the oldest go first")

    def __post_init__(self) -> None:
        for each in fields(self):
            _check(each.name, type(each.default), getattr(self, each.name))
        if self.min_examples < 1:
            raise ConfigError(f"policy min_examples: expected at least 1, got {self.min_examples}")
        if self.min_battery > FULL:
            raise ConfigError(f"policy min_battery: expected at most {FULL:g} percent, got {self.min_battery:g}")
        parse_hours(self.hours)

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
        if asked.kind == Kind.DISCOVER and not self.max_votes:
            return "this device's owner does not let it vote for words"
        if asked.kind == Kind.TRAIN and held < self.min_examples:
            return f"this device has {held} examples, its owner asks for at least {self.min_examples}"
        if asked.kind == Kind.TRAIN and asked.epochs > self.max_epochs:
            return f"{asked.epochs} epochs were asked for, the owner allows at most {self.max_epochs}"
        if traffic > self.max_megabytes * MEGABYTE:
            return f"the round would move {traffic / MEGABYTE:.1f} MB, the owner allows {self.max_megabytes:g} MB"
        return self._not_private_enough(asked) if asked.kind == Kind.TRAIN else None

    def _not_private_enough(self, asked: Assignment) -> str | None:
        """Return which protection the owner asks for and the assignment does not offer; only training sends much."""
        norm, secure = offered_clipping(asked), offers_secure_aggregation(asked)
        if self.require_clipping and not 0 < norm <= self.require_clipping:
            offer = f"to {norm:g}" if norm > 0 else "not at all"
            return f"updates would be clipped {offer}, the owner asks for a norm of at most {self.require_clipping:g}"
        noise = offered_noise(asked)
        if noise < self.require_noise:
            return (
                f"noise of {noise:g} times the norm would be added, the owner asks for at least {self.require_noise:g}"
            )
        if self.require_secure_aggregation and not secure:
            return "the owner asks for secure aggregation, and the assignment does not offer it"
        return self._too_small_a_sum(asked.secure) if secure else None

    def _too_small_a_sum(self, terms: SecureTerms) -> str | None:
        if terms.cohort < self.min_cohort:
            return f"at most {terms.cohort} devices would take part, the owner asks for at least {self.min_cohort}"
        if terms.least < self.min_threshold:
            return f"the sum could be of {terms.least} updates, the owner asks for at least {self.min_threshold}"
        return None


def _malformed(asked: Assignment) -> str | None:
    if asked.kind not in tuple(Kind):
        return f"assignment kind {asked.kind} is not known to this version"
    if why := unknown_encoding(asked):
        return why
    if asked.kind == Kind.EVALUATE:
        return None
    if asked.kind == Kind.DISCOVER:
        return None if asked.discovery.length and asked.discovery.votes else "no votes were asked for"
    if not (math.isfinite(asked.mu) and asked.mu >= 0):
        return f"proximal weight mu {asked.mu}: expected a number of at least 0"
    if asked.correction not in CORRECTIONS:
        return f"the correction {asked.correction!r} is not known to this version"
    if asked.epochs < 1:
        return "no epochs were asked for"
    if not (math.isfinite(asked.learning_rate) and asked.learning_rate > 0):
        return f"learning rate {asked.learning_rate}: expected a number above 0"
    return None


def offered_clipping(asked: Assignment) -> float:
    """Return the L2 norm to which an assignment has updates clipped on the device, 0 for none."""
    if asked.secure.cohort:
        return asked.secure.clip if math.isfinite(asked.secure.clip) else 0.0
    return clipping_norm(asked.encoding)


def offered_noise(asked: Assignment) -> float:
    """Return the noise multiplier of the sum of clipped updates, 0 for none: promised, or added by the devices."""
    if asked.secure.cohort:
        return noise_in_sum(asked) * (1 + ROUNDING)
    terms = asked.privacy
    promised = terms.mechanism and offered_clipping(asked) and math.isfinite(terms.noise_multiplier)
    return terms.noise_multiplier if promised else 0.0


def offers_secure_aggregation(asked: Assignment) -> bool:
    """Return whether an assignment masks updates so that only their sum can be read."""
    return asked.secure.cohort > 0


WORDS: dict[str, str] = {each.name: each.metadata["words"] for each in fields(Policy)}
"""What each rule is for, by its name."""


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
    if not isinstance(found, dict) or not set(found) <= set(WORDS):
        raise ConfigError(f"policy file {path}: expected an object with some of {', '.join(WORDS)}")
    try:
        return Policy(**found)
    except ConfigError as error:
        raise ConfigError(f"{error} (in {path}; mend or remove that line)") from None


def save_policy(path: Path, policy: Policy) -> None:
    """Write the owner's limits, those alone that are not the defaults: a better default reaches who chose nothing."""
    chosen = {name: value for name, value in asdict(policy).items() if value != getattr(Policy(), name)}
    write_durably(path, (json.dumps(chosen, indent=2) + "\n").encode())


def changed(policy: Policy, name: str, text: str) -> Policy:
    """Return the policy with one rule set from an owner's words.

    Raises:
        ConfigError: if there is no such rule, or the words are not a value of it.

    Example:
        >>> changed(Policy(), "on_battery", "yes").on_battery
        True
    """
    if name not in WORDS:
        import difflib  # for a mistake alone

        near = difflib.get_close_matches(name, WORDS, 3, 0.5)
        guess = f"did you mean {' or '.join(near)}? " if near else ""
        raise ConfigError(f"policy {name!r}: there is no such rule; {guess}`edgewise device policy` lists all")
    kind: Any = type(getattr(Policy(), name))
    try:
        value: Any = SWITCH[text.lower()] if kind is bool else kind(text)
    except (KeyError, ValueError):
        raise ConfigError(f"policy {name}: expected {KINDS[kind]}, got {text!r}") from None
    return replace(policy, **{name: value})


class PolicyFile:
    """The owner's rules as a running agent sees them: a change of the file counts from the next look on.

    It is a condition too: a file that became unreadable stops the device, since nobody knows what its owner wants.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._policy = load_policy(path)
        self._seen = self._stamp()
        self._error = ""

    def __call__(self) -> Policy:
        """Return the rules, those that could last be read."""
        stamp = self._stamp()
        if stamp != self._seen:
            self._seen = stamp
            try:
                self._policy, self._error = load_policy(self._path), ""
            except ConfigError as error:
                self._error = str(error)
        return self._policy

    def obstacle(self) -> str | None:
        """Return why not now, or `None`."""
        self()
        return "the owner's policy file cannot be used" if self._error else None

    def _stamp(self) -> tuple[int, int, int]:
        try:
            found = self._path.stat()
        except OSError:
            return 0, 0, 0
        return found.st_mtime_ns, found.st_size, found.st_ino


SWITCH = {"yes": True, "on": True, "true": True, "no": False, "off": False, "false": False}
KINDS = {bool: "yes or no", int: "a whole number of at least 0", float: "a number of at least 0", str: "text"}


def _check(name: str, kind: type, value: object) -> None:
    if kind in (bool, str):
        right = isinstance(value, kind)
    else:
        right = isinstance(value, int if kind is int else int | float) and not isinstance(value, bool)
        right = right and math.isfinite(value) and value >= 0  # type: ignore[arg-type,operator]
    if not right:
        raise ConfigError(f"policy {name}: expected {KINDS[kind]}, got {value!r}")
