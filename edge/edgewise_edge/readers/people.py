"""Who wrote what, whatever the form it comes in.

`read_people` is the door; it finds every text file under a path, tells each one's form by its content and gathers the
messages by person. What it holds is bounded (`MESSAGES`, `PEOPLE` and the bounds of `sources`).
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

People: TypeAlias = dict[str, list[str]]
"""A person's device name to their messages, people and messages in the order of their first appearance."""


def read_people(path: Path | str) -> People:
    """Return the messages of each person found at `path`."""
    raise NotImplementedError
