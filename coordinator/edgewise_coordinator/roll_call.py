"""Which devices there were before a restart: remembered, and asked by name where no retained presence tells of them.

A broker greets a new subscription with the retained presences that match it, so a coordinator that starts knows who is
online. RabbitMQ's MQTT plug-in does not for a filter with wildcards, and a broker that was restarted may have forgotten
them. Their devices would be heard of only at their next check-in, a minute later.
"""

from __future__ import annotations

import logging
from collections import deque

from edgewise_coordinator.answers import Answers
from edgewise_coordinator.context import Context
from edgewise_wire.errors import UnavailableError

log = logging.getLogger("edgewise.coordinator")

GRACE_SECONDS = 2.0  # retained presences come at once, where they come at all
WRITE_SECONDS = 1.0  # new names are written together; who is not written yet is heard of at its next check-in
REMEMBERED_SECONDS = 14 * 86400.0  # a device that was not heard of for so long is called no more
CALLS_A_TICK = 64  # few enough for any broker's queue


class RollCall:
    """Remembers who was heard of, and calls those who were heard of before and are silent now, once, by name.

    In a large fleet nobody is called (`Pace.calls`): its devices offer themselves within a minute anyway.
    """

    def __init__(self, context: Context, answers: Answers) -> None:
        self._context = context
        self._answers = answers
        self._absent = deque(context.store.heard_since(context.clock.wall() - REMEMBERED_SECONDS))
        self._call_at = context.clock.now() + GRACE_SECONDS
        self._write_at = context.clock.now() + WRITE_SECONDS

    @property
    def due(self) -> float:
        """When `tick` must be called next, by the monotonic clock."""
        return min(self._call_at, self._write_at) if self._absent else self._write_at

    def tick(self) -> None:
        """Do what is due."""
        now = self._context.clock.now()
        if self._absent and now >= self._call_at:
            self._call()
        if now >= self._write_at:
            self._write_at = now + WRITE_SECONDS
            self._write()

    def _call(self) -> None:
        if not self._context.pace.calls(len(self._absent)):
            self._absent.clear()
        fleet, admits = self._context.fleet, self._context.link.members.admits
        asked = [self._absent.popleft() for _ in range(min(CALLS_A_TICK, len(self._absent)))]
        called = [device for device in asked if not fleet.is_online(device) and admits(device)]
        for device in called:
            self._answers.call(device)
        if called:
            log.info("no presence tells of devices heard of before: called %d devices by name", len(called))

    def _write(self) -> None:
        names = self._context.fleet.take_newly_heard()
        if names:
            try:
                self._context.store.remember_devices(names, self._context.clock.wall())
            except UnavailableError as error:  # no reason to stop the rounds
                log.warning("%s", error)
