"""Hours of the day as an owner writes them: `22:00-06:00, 12-14`."""

from __future__ import annotations

import re
from typing import TypeAlias

from edgewise_wire.errors import ConfigError

Window: TypeAlias = "tuple[int, int]"
"""Minutes of the day: from the first (included) to the second (not); the second may lie behind midnight."""

_WINDOW = re.compile(r"(\d{1,2})(?::(\d{2}))?\s*-\s*(\d{1,2})(?::(\d{2}))?")


def parse_hours(text: str) -> tuple[Window, ...]:
    """Return the windows that a text names; none for an empty one, which stands for all day.

    Raises:
        ConfigError: if it is not a list of hours.

    Example:
        >>> parse_hours("22:00-06:00, 12-14")
        ((1320, 360), (720, 840))
    """
    return tuple(_window(part.strip(), text) for part in text.split(",")) if text.strip() else ()


def inside(windows: tuple[Window, ...], minute: int) -> bool:
    """Return whether a minute of the day lies in one of the windows; without windows every minute does.

    Example:
        >>> [inside(parse_hours("22-6"), 60 * hour) for hour in (21, 22, 0, 6)]
        [False, True, True, False]
    """
    if not windows:
        return True
    return any(first <= minute < last if first < last else minute >= first or minute < last for first, last in windows)


def _window(part: str, text: str) -> Window:
    found = _WINDOW.fullmatch(part)
    times = [60 * int(found[n]) + int(found[n + 1] or 0) for n in (1, 3)] if found else []
    if not found or max(times) > 24 * 60 or any(int(found[n] or 0) > 59 for n in (2, 4)) or times[0] == times[1]:
        raise ConfigError(f"policy hours {text!r}: expected hours of the day such as 22:00-06:00, or 1-5, 12-14")
    return times[0], times[1]
