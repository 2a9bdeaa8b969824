"""What every process of a device's owner opens alike: the clock, the rules, the examples, the machine."""

from __future__ import annotations

from edgewise_edge.conditions import Machine
from edgewise_edge.guarded_clock import GuardedClock
from edgewise_edge.home import Home
from edgewise_edge.policy import MEGABYTE, Policy, PolicyFile
from edgewise_edge.store import ExampleStore, Limits
from edgewise_wire.clock import Clock, SystemClock

DAY = 86400.0


def keeping(policy: Policy) -> Limits:
    """Return how much the owner's rules let an example store hold."""
    return Limits(
        DAY * policy.keep_days or None, policy.keep_examples or None, int(MEGABYTE * policy.keep_megabytes) or None
    )


class Own:
    """A device's folder, opened for its owner.

    Raises:
        ConfigError: if the policy file cannot be used.
    """

    def __init__(self, home: Home, clock: Clock | None = None) -> None:
        self.home = home
        self.clock = GuardedClock(clock or SystemClock(), home.clock)
        self.policy = PolicyFile(home.policy)

    def store(self) -> ExampleStore:
        """Return the examples, within the owner's limits.

        Raises:
            DataError, UnavailableError: as `ExampleStore`.
        """
        return ExampleStore(
            self.home.examples, limits=lambda: keeping(self.policy()), clock=self.clock.wall, date=self.clock.settled
        )

    def machine(self) -> Machine:
        """Return the machine that the conditions read."""
        return Machine(self.home.path, self.policy, self.clock.date)
