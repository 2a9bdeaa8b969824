"""The seam where a round's way of collecting plugs in: further messages, phases of its own, and failure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from coordinator_scene import Scene
from edgewise_coordinator.algorithms.base import Aggregate
from edgewise_coordinator.collecting.base import CollectionError
from edgewise_coordinator.collecting.plain import PlainUpdates, plain_updates
from edgewise_coordinator.context import Context
from edgewise_coordinator.machine import Action, Drop, Phase, RoundMachine
from edgewise_coordinator.model import Model
from edgewise_coordinator.state import Report
from edgewise_wire.messages import Body, Progress

Make = Callable[..., Scene]


class WithSecrets(PlainUpdates):
    """Plain updates, but the round is over only when every device that reported has said one thing more."""

    def __init__(self, plain: PlainUpdates, context: Context) -> None:
        self.__dict__.update(plain.__dict__)
        self._clock = context.clock
        self.asked_at: float | None = None
        self.secrets: set[str] = set()

    def hear(self, device: str, round_id: int, body: Body) -> bool:
        if not isinstance(body, Progress):
            return False
        self.secrets.add(device)
        return True

    def finish(self, reports: Sequence[Report]) -> Aggregate | None:  # type: ignore[override]
        self.asked_at = self._clock.now() if self.asked_at is None else self.asked_at
        if self.secrets >= {r.device for r in reports}:
            return super().finish(reports)
        if self._clock.now() - self.asked_at >= 60:
            raise CollectionError(f"{len(self.secrets)} of {len(reports)} devices said their secret")
        return None

    def deadline(self) -> float:
        return np.inf if self.asked_at is None else self.asked_at + 60


def with_secrets(context: Context, model: Model, round_id: int) -> WithSecrets:
    return WithSecrets(plain_updates(context, model, round_id), context)


def closing(scene: Make) -> Scene:
    s = scene(goal=2, rounds=1, over_selection=1.0, collect=with_secrets)
    s.join("d1", "d2")
    s.settle()
    assert s.coordinator.round is not None
    assert s.coordinator.round.machine.phase is Phase.CLOSING
    return s


def say_secret(s: Scene, *names: str) -> None:
    for name in names:
        s.devices[name].say(Progress(1, 1, 1), round_id=1)
    s.settle()


def test_a_round_waits_for_what_its_way_of_collecting_asks(scene: Make) -> None:
    s = closing(scene)
    s.advance(30)
    assert not s.rounds
    say_secret(s, "d1")
    assert not s.rounds
    say_secret(s, "d2")
    assert [(r.phase, r.reported) for r in s.rounds] == [("committed", 2)]
    plain = Scene(s.directory.parent / "plain", s.settings)
    plain.join("d1", "d2")
    plain.run()
    assert s.coordinator.weights.tobytes() == plain.coordinator.weights.tobytes()


def test_its_failure_abandons_the_round_with_its_words(scene: Make) -> None:
    s = closing(scene)
    before = s.coordinator.weights.tobytes()
    say_secret(s, "d1")
    s.advance(61)
    assert [(r.phase, r.reason) for r in s.rounds] == [("abandoned", "1 of 2 devices said their secret")]
    assert s.coordinator.weights.tobytes() == before
    assert s.coordinator.store.versions()[-1].version == 0


def test_a_coordinator_killed_while_it_waits_goes_on_waiting(scene: Make) -> None:
    s = closing(scene)
    s.broker.cut("coordinator")
    s.start()
    s.settle()
    assert not s.rounds
    say_secret(s, "d1", "d2")
    assert [(r.phase, r.reported) for r in s.rounds] == [("committed", 2)]


def test_its_own_phases_may_do_without_a_device(scene: Make) -> None:
    class Choosy(WithSecrets):
        def tick(self, machine: RoundMachine) -> Sequence[Action]:
            found = machine.participants.get("d2")
            if found is None or not found.status.live:
                return ()
            machine.failed("d2", found.attempt, "no key")
            return [Drop("d2", found.attempt, "no key")]

    def choosy(context: Context, model: Model, round_id: int) -> Choosy:
        return Choosy(plain_updates(context, model, round_id), context)

    s = scene(goal=2, rounds=1, over_selection=1.0, min_reports=1, collect=choosy)
    s.join("d1", "d2")
    s.devices["d2"].answer_assignments = False
    s.settle()
    say_secret(s, "d1")
    assert [(r.phase, r.reported, r.failed) for r in s.rounds] == [("committed", 1, {"no key": 1})]
