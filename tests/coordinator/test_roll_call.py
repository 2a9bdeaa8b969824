"""A coordinator that restarts calls by name whom it remembers, where no retained presence tells of them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from coordinator_scene import Scene
from edgewise_coordinator.pace import PaceSteering
from edgewise_coordinator.roll_call import CALLS_A_TICK, GRACE_SECONDS, REMEMBERED_SECONDS, WRITE_SECONDS
from edgewise_wire.messages import ComeBackLater

Make = Callable[..., Scene]


def restarted(s: Scene, *, after: float = WRITE_SECONDS) -> Scene:
    """Kill the coordinator of a fleet that was at peace, and start another on a broker that has nothing retained."""
    s.join("d1", "d2", "d3")
    s.settle()
    s.advance(after)
    s.broker.cut("coordinator")
    s.broker._retained.clear()  # what RabbitMQ's plug-in tells a subscription with wildcards: nothing
    for device in s.devices.values():
        device.heard.clear()
    s.start()
    s.settle()
    return s


def called(s: Scene) -> list[str]:
    return sorted(
        n for n, d in s.devices.items() if any(isinstance(m, ComeBackLater) and not m.seconds for m in d.heard)
    )


def test_devices_that_nobody_tells_of_are_called_by_name(scene: Make) -> None:
    s = restarted(scene(goal=4, rounds=1, selection_timeout=600))
    assert s.coordinator.fleet.online_count == 0
    s.advance(GRACE_SECONDS)
    assert called(s) == ["d1", "d2", "d3"]
    assert s.coordinator.fleet.available() == 3
    s.join("d4")
    s.run()
    assert s.rounds[0].reported == 4


def test_those_whose_presence_was_told_are_not_called_twice(scene: Make) -> None:
    s = restarted(scene(goal=4, rounds=1, selection_timeout=600))
    s.devices["d2"].join()
    s.settle()
    s.advance(GRACE_SECONDS)
    assert called(s) == ["d1", "d3"]
    s.advance(600)
    assert sum(isinstance(m, ComeBackLater) for m in s.devices["d1"].heard) == 1


def test_a_round_under_way_goes_on_as_soon_as_its_devices_are_called(scene: Make) -> None:
    s = scene(goal=3, rounds=1)
    s.join("d1", "d2", "d3")
    for device in s.devices.values():
        device.send_chunks = False
    s.settle()
    s.advance(WRITE_SECONDS)
    s.broker.cut("coordinator")
    s.broker._retained.clear()
    s.start()
    for device in s.devices.values():
        device.send_chunks = True
    s.settle()
    assert not s.rounds
    s.advance(GRACE_SECONDS)
    assert [r.reported for r in s.rounds] == [3]


def test_a_large_fleet_is_not_called(scene: Make) -> None:
    s = restarted(scene(goal=4, rounds=1, selection_timeout=600, pace=PaceSteering(10.0, small=2)))
    s.advance(GRACE_SECONDS)
    assert called(s) == []


def test_devices_of_long_ago_are_not_called(scene: Make) -> None:
    s = scene(goal=4, rounds=1, selection_timeout=600)
    s.coordinator.store.remember_devices(["d1"], s.clock.wall() - REMEMBERED_SECONDS - 1)
    assert s.coordinator.store.heard_since(s.clock.wall() - REMEMBERED_SECONDS) == []
    s.coordinator.store.remember_devices(["d1"], s.clock.wall())
    assert s.coordinator.store.heard_since(s.clock.wall() - REMEMBERED_SECONDS) == ["d1"]


def test_many_are_called_a_few_at_a_time(scene: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    s = scene(goal=4, rounds=1, selection_timeout=600)
    s.coordinator.store.remember_devices([f"p{n}" for n in range(3 * CALLS_A_TICK)], s.clock.wall())
    s.broker.cut("coordinator")
    s.start()
    told: list[str] = []
    monkeypatch.setattr(s.coordinator._answers, "call", told.append)
    s.clock.advance(GRACE_SECONDS)
    for ticks in (1, 2, 3):
        s.coordinator.tick()
        assert len(told) == ticks * CALLS_A_TICK
    s.coordinator.tick()
    assert len(set(told)) == len(told) == 3 * CALLS_A_TICK
