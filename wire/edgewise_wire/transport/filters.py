"""What MQTT says about topics and topic filters (MQTT 3.1.1 §4.7), for every transport alike."""

from __future__ import annotations

import re
from collections.abc import Callable

from edgewise_wire.errors import ConfigError

TOPIC_MAX_BYTES = 65_535  # §1.5.3: a string carries its length in two bytes


def check_topic(topic: str) -> str:
    """Return `topic` if a message may be published under it.

    Raises:
        ConfigError: if it is empty, longer than 65,535 bytes, or holds `+`, `#` or a NUL.

    Example:
        >>> check_topic("ew/1/home/device/pi-7/up")
        'ew/1/home/device/pi-7/up'
    """
    if not topic or "+" in topic or "#" in topic or "\0" in topic or len(topic.encode()) > TOPIC_MAX_BYTES:
        raise ConfigError(f"topic {topic[:80]!r}: expected 1 to {TOPIC_MAX_BYTES} bytes without '+', '#' and NUL")
    return topic


def check_filter(pattern: str) -> str:
    """Return `pattern` if it is a topic filter: `+` stands for one whole level, `#` for all that follow.

    Raises:
        ConfigError: if it is empty, too long, or a wildcard shares its level or `#` is not last (§4.7.1).

    Example:
        >>> check_filter("ew/1/home/device/+/up")
        'ew/1/home/device/+/up'
    """
    levels = pattern.split("/")
    fits = pattern and "\0" not in pattern and len(pattern.encode()) <= TOPIC_MAX_BYTES
    wildcards_alone = all(level in ("+", "#") or not set(level) & {"+", "#"} for level in levels)
    if not fits or not wildcards_alone or "#" in levels[:-1]:
        raise ConfigError(f"topic filter {pattern[:80]!r}: expected '+' and '#' to stand alone in a level, '#' last")
    return pattern


def has_wildcard(pattern: str) -> bool:
    """Return whether a valid filter can match more than one topic."""
    return "+" in pattern or "#" in pattern


def matcher(pattern: str) -> Callable[[str], bool]:
    """Return the function that says whether a topic matches the filter.

    `a/#` also matches `a` itself, and a leading wildcard matches no topic that begins with `$` (§4.7.1.2, §4.7.2).

    Example:
        >>> matcher("a/+/c")("a/b/c"), matcher("a/#")("a"), matcher("#")("$SYS/uptime")
        (True, True, False)
    """
    if not has_wildcard(pattern):
        return pattern.__eq__
    levels = pattern.split("/")
    rest = levels.pop() if levels[-1] == "#" else ""
    body = "/".join("[^/]*" if level == "+" else re.escape(level) for level in levels)
    tail = ("(?:/.*)?" if levels else ".*") if rest else ""
    guard = r"(?!\$)" if pattern[0] in "+#" else ""
    compiled = re.compile(guard + body + tail, re.DOTALL)
    return lambda topic: compiled.fullmatch(topic) is not None


def matches(pattern: str, topic: str) -> bool:
    """Return whether `topic` matches the filter `pattern`; use `matcher` where one filter meets many topics."""
    return matcher(pattern)(topic)
