"""Who could take part now: the round machine's view of a virtual fleet of any size."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from edgewise.simulation.availability import Availability, Numbers
from edgewise_coordinator.selection.base import Candidate, Listed


class VirtualClock:
    """Time that jumps from one event to the next; it begins at 0, midnight."""

    def __init__(self, now: float = 0.0) -> None:
        self._now = now

    def now(self) -> float:
        """Return the seconds since the beginning."""
        return self._now

    def wall(self) -> float:
        """Return the same."""
        return self._now

    def move_to(self, moment: float) -> None:
        """Move forward to a time, or stay if it has passed."""
        self._now = max(self._now, moment)

    def set(self, moment: float) -> None:
        """Go to a time, also back: a round is played again."""
        self._now = moment


class Kept(NamedTuple):
    """What a round changes of a roster."""

    busy: NDArray[np.bool_]
    last_round: NDArray[np.int64]


class Roster:
    """The registered devices: a `machine.Pool` whose cost is a few NumPy passes, however many there are.

    Args:
        names: sorted.
        examples: that each has to train on; devices without any never offer themselves.
        availability: who is online when.
        clock: of the simulation.
    """

    def __init__(
        self, names: Sequence[str], examples: NDArray[np.int64], availability: Availability, clock: VirtualClock
    ) -> None:
        self.names = names
        self.examples = examples
        self.availability = availability
        self._clock = clock
        self._useful = examples > 0
        self.kept = Kept(np.zeros(len(names), np.bool_), np.zeros(len(names), np.int64))
        self._numbers = {name: number for number, name in enumerate(names)}
        self._found: tuple[float, NDArray[np.bool_], Numbers] | None = None

    def number(self, name: str) -> int:
        """Return a device's number."""
        return self._numbers[name]

    def free(self) -> Numbers:
        """Return the numbers of those who are online and not at work."""
        now = self._clock.now()
        if self._found is None or self._found[0] != now:
            mask = self.availability.online(now) & self._useful & ~self.kept.busy
            self._found = now, mask, np.flatnonzero(mask)
        return self._found[2]

    def available(self) -> int:
        """Return how many there are."""
        return len(self.free())

    def reachable(self, accept: Callable[[Candidate], bool] | None = None) -> int:
        """Return how many there are of those whom `accept` takes: a virtual device offers itself at once."""
        return self.available() if accept is None else sum(map(accept, self.candidates()))

    def candidates(self) -> Sequence[Candidate]:
        """Return them, sorted by name; each is made when it is looked at."""
        numbers = self.free()
        assert self._found is not None  # noqa: S101  free() has just made it
        return _Candidates(self, numbers, self._found[1])

    def take(self, numbers: Numbers, training_round: int) -> None:
        """Note that devices are at work."""
        self.kept.busy[numbers] = True
        self.kept.last_round[numbers] = training_round
        self._found = None

    def release(self, number: int) -> None:
        """Note that one of them is not any more."""
        self.kept.busy[number] = False
        self._found = None

    def release_all(self) -> None:
        """Note that nobody is at work."""
        self.kept.busy[:] = False
        self._found = None

    def snapshot(self) -> Kept:
        """Return a copy of what a round changes."""
        return Kept(self.kept.busy.copy(), self.kept.last_round.copy())

    def restore(self, kept: Kept) -> None:
        """Go back to a copy."""
        self.kept = Kept(kept.busy.copy(), kept.last_round.copy())
        self._found = None


class _Candidates(Listed):
    """Candidates that exist while somebody looks at them: of 100,000 a uniform draw looks at 1,000."""

    def __init__(self, roster: Roster, numbers: Numbers, mask: NDArray[np.bool_]) -> None:
        self._roster, self._numbers, self._mask = roster, numbers, mask

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, at: int) -> Candidate: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Candidate]: ...
    def __getitem__(self, at: int | slice) -> Candidate | Sequence[Candidate]:
        if isinstance(at, slice):
            return [self._candidate(number) for number in self._numbers[at].tolist()]
        return self._candidate(int(self._numbers[at]))

    def __iter__(self) -> Iterator[Candidate]:
        return map(self._candidate, self._numbers.tolist())

    def lists(self, device: str) -> bool:
        """Return whether a device of this name is one of them."""
        return bool(self._mask[self._roster.number(device)])

    def names(self, places: Sequence[int]) -> list[str]:
        """Return the names of those at these places."""
        names = self._roster.names
        return [names[number] for number in self._numbers[places].tolist()]

    def _candidate(self, number: int) -> Candidate:
        roster = self._roster
        return Candidate(roster.names[number], int(roster.examples[number]), int(roster.kept.last_round[number]))
