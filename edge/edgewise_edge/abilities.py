"""What this version of a device can do of what an assignment may ask: corrections of gradients, encodings of updates.

It is known without NumPy, which a device that waits does not load.
"""

from __future__ import annotations

from edgewise_wire.encodings import parse
from edgewise_wire.errors import ConfigError
from edgewise_wire.messages import Assignment, Kind

SCAFFOLD = "scaffold"
CORRECTIONS = ("", SCAFFOLD)
"""The corrections that this device can make, by their names on the wire."""
NUMBER_BYTES = 4  # weights travel as float32


def unknown_encoding(asked: Assignment) -> str | None:
    """Return why this device cannot encode as it is asked, or `None` if it can."""
    try:
        parse(asked.encoding)
    except ConfigError:
        return f"updates encoded as {asked.encoding!r} are not known to this version"
    return None


def update_bytes(asked: Assignment) -> int:
    """Return how many bytes an assignment's update will have; 0 for an encoding that is not known."""
    if asked.kind == Kind.EVALUATE or unknown_encoding(asked):
        return 0
    numbers = (asked.weights.size + (asked.control.size if asked.correction else 0)) // NUMBER_BYTES
    return parse(asked.encoding).size(max(1, numbers))
