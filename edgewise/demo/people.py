"""Whose text the demo trains on: the shipped corpus, or the user's own file or folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgewise_edge.home import Home
from edgewise_edge.store import ExampleStore, Limits
from edgewise_wire.errors import DataError

MESSAGES_LEAST = 10  # with fewer, a person's held-out fifth says nothing


@dataclass(frozen=True, slots=True)
class Person:
    """One device: its name and its folder, with the examples already in it."""

    device: str
    home: Path

    def texts(self, *, held_out: bool) -> list[str]:
        """Return the person's training or held-out texts."""
        with ExampleStore(Home(self.home).examples) as store:
            return list(store.texts(held_out=held_out))


def choose(people: Mapping[str, list[str]], count: int, source: str) -> dict[str, list[str]]:
    """Return the `count` people who wrote most (a phone that is used a lot learns a lot).

    Raises:
        DataError: if fewer than two people wrote enough.
    """
    enough = {name: texts for name, texts in people.items() if len(texts) >= MESSAGES_LEAST}
    if len(enough) < 2:
        raise DataError(
            f"{source}: {len(enough)} of {len(people)} people wrote {MESSAGES_LEAST} messages or more; "
            "expected at least 2, since one person is one device"
        )
    busiest = sorted(enough, key=lambda name: (-len(enough[name]), name))[:count]
    return {name: enough[name] for name in busiest}


def settle(people: Mapping[str, list[str]], folder: Path) -> list[Person]:
    """Give each person a device folder with their examples; every fifth one is held out for evaluation."""
    found = []
    for device, texts in people.items():
        home = Home(folder / device)
        limits = Limits(count=max(len(texts), 1))
        with ExampleStore(home.examples, limits=limits) as store:
            store.add_missing(texts)  # a demo that goes on in its folder finds them there
        found.append(Person(device, home.path))
    return found
