"""Reports that come when nothing trains: a device at an aggregator hears that its round is over, and when to come back.

While a round trains, what its aggregators say is heard by the round itself (`collecting.spread`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeAlias

from edgewise_coordinator.answers import Answers
from edgewise_coordinator.collecting.base import Late
from edgewise_coordinator.context import Context
from edgewise_wire.messages import Kind

Listen: TypeAlias = "Callable[[Context], Sequence[Late]]"
"""`listen(context)`: which reports have reached an aggregator since the last time, in which no round trained."""

LOOK_SECONDS = 0.5  # devices ask again after ten


class Latecomers:
    """Answers them. `listen` is `None` where there are no aggregators: then the inbox hears them all."""

    def __init__(self, context: Context, answers: Answers, listen: Listen | None) -> None:
        self._context = context
        self._answers = answers
        self._listen = listen
        self._look_at = -math.inf

    @property
    def due(self) -> float:
        """When `tick` must be called next, by the monotonic clock; infinity for never."""
        return math.inf if self._listen is None or self._training else self._look_at

    def tick(self) -> None:
        """Do what is due."""
        now = self._context.clock.now()
        if self._listen is None or self._training or now < self._look_at:
            return
        self._look_at = now + LOOK_SECONDS
        for late in self._listen(self._context):
            self.answer(late)

    def answer(self, late: Late) -> None:
        """Say that the report is safe, or that it comes too late."""
        if self._context.link.members.admits(late.device) and not self._answers.accept_again(*late):
            self._answers.too_late(*late)

    @property
    def _training(self) -> bool:
        return any(current.kind is Kind.TRAIN for current in self._context.rounds.all)
