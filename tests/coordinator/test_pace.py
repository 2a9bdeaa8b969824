"""When devices come back: the windows' arithmetic, and what devices are told in small and in large fleets."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from coordinator_scene import Scene
from edgewise_coordinator.fleet import Fleet
from edgewise_coordinator.pace import LATE_SECONDS, LONGEST, SMALL_FLEET, NoPace, PaceSteering, jittered
from edgewise_wire.blobs import make_ref
from edgewise_wire.clock import ManualClock
from edgewise_wire.errors import ConfigError
from edgewise_wire.messages import Abort, Assignment, CheckIn, ComeBackLater, ReportAck, UploadRequest

Make = Callable[..., Scene]


def steering(rate: float = 10.0, small: int = SMALL_FLEET, seed: int = 0) -> PaceSteering:
    return PaceSteering(rate, np.random.default_rng(seed), small)


@pytest.mark.parametrize(("fleet", "rate"), [(1000, 10.0), (20_000, 5.0), (100_000, 200.0)])
@pytest.mark.parametrize("accepted_in_ten", [0, 1, 5, 9])
def test_the_whole_fleet_checks_in_at_the_wanted_rate(fleet: int, rate: float, accepted_in_ten: int) -> None:
    """Simulated: every device comes back when it was told; the rate that results is the one asked for."""
    pace = steering(rate)
    waits = []
    for i in range(20_000):
        told = pace.accepted(fleet) if i % 10 < accepted_in_ten else pace.dropped(fleet)
        if i >= 10_000:
            waits.append(told)
    assert fleet / np.mean(waits) == pytest.approx(rate, rel=0.02)


def test_those_who_contributed_wait_twice_as_long() -> None:
    accepted, rejected = steering().windows(10_000)
    assert accepted == pytest.approx(2 * rejected)
    assert rejected == pytest.approx(10_000 / 10 / 1.5)


def test_the_jitter_is_a_fifth_and_comes_from_the_generator() -> None:
    rng = np.random.default_rng(4)
    drawn = [jittered(100.0, rng) for _ in range(5000)]
    assert 80 <= min(drawn) < 81
    assert 119 < max(drawn) <= 120
    assert np.mean(drawn) == pytest.approx(100, rel=0.01)
    one, other = ([steering(seed=s).late(9999) for _ in range(3)] for s in (1, 1))
    assert one == other != [steering(seed=2).late(9999) for _ in range(3)]


def test_nobody_is_sent_away_for_longer_than_devices_allow() -> None:
    pace = steering(1e-3)
    assert pace.windows(10_000_000) == (LONGEST, LONGEST)
    assert all(pace.accepted(10_000_000) <= LONGEST for _ in range(50))


def test_a_small_fleet_is_left_alone_but_for_late_reports() -> None:
    for pace in (NoPace(), steering()):
        assert pace.accepted(SMALL_FLEET) == pace.dropped(SMALL_FLEET) == 0.0
        assert 0.8 * LATE_SECONDS <= pace.late(SMALL_FLEET) <= 1.2 * LATE_SECONDS
        assert not pace.crowded(SMALL_FLEET, 10**6, 1)
        assert pace.calls(SMALL_FLEET)
    large = steering()
    assert large.accepted(SMALL_FLEET + 1) > 0
    assert large.crowded(SMALL_FLEET + 1, 26, 13)
    assert not large.crowded(SMALL_FLEET + 1, 25, 13)
    assert not large.calls(SMALL_FLEET + 1)


@pytest.mark.parametrize("rate", [0.0, -1.0, float("inf"), float("nan")])
def test_a_rate_must_be_a_positive_number(rate: float) -> None:
    with pytest.raises(ConfigError, match="check-ins per second"):
        PaceSteering(rate)


class TestFleet:
    """A device that was told a time is not asked before it, and not counted on."""

    def test_it_is_neither_available_nor_reachable_until_then(self) -> None:
        clock = ManualClock()
        fleet = Fleet(clock)
        fleet.check_in("a", CheckIn(session=1))
        fleet.send_away("a", 60.0)
        assert (fleet.available(), fleet.reachable(), fleet.online_count) == (0, 0, 1)
        clock.advance(59)
        fleet.check_in("a", CheckIn(session=1))
        assert (fleet.available(), fleet.reachable()) == (0, 0)
        clock.advance(1)
        assert fleet.reachable() == 1
        fleet.check_in("a", CheckIn(session=1))
        assert fleet.available() == 1
        assert fleet.too_early("a") is None

    def test_one_that_comes_too_early_is_reminded_now_and_then(self) -> None:
        clock = ManualClock(100.0)
        fleet = Fleet(clock)
        fleet.send_away("a", 60.0)
        assert fleet.too_early("a") == 60.0
        assert fleet.too_early("a") is None
        clock.advance(10)
        assert fleet.too_early("a") == 50.0
        assert fleet.too_early("nobody") is None

    def test_a_new_process_of_it_does_not_jump_the_queue(self) -> None:
        fleet = Fleet(ManualClock())
        fleet.check_in("a", CheckIn(session=1))
        fleet.send_away("a", 60.0)
        fleet.presence("a", False, 1)
        fleet.presence("a", True, 2)
        fleet.check_in("a", CheckIn(session=2))
        assert fleet.available() == 0

    def test_the_count_of_those_online_is_kept_along(self) -> None:
        fleet = Fleet(ManualClock())
        for device, online in (("a", True), ("b", True), ("a", True), ("b", False), ("c", False), ("b", True)):
            fleet.presence(device, online, 1)
            assert fleet.online_count == len(fleet.online())


def told(s: Scene, name: str, kind: type) -> list[float]:
    return [
        m.seconds if isinstance(m, ComeBackLater) else m.come_back for m in s.devices[name].heard if type(m) is kind
    ]


def test_devices_of_a_large_fleet_hear_when_to_come_back(scene: Make) -> None:
    s = scene(goal=1, rounds=1, over_selection=2.0, pace=steering(0.1, small=2))
    s.join(*[f"d{i}" for i in range(1, 9)])
    for device in s.devices.values():
        device.send_chunks = False
    s.settle()
    one, other = (name for name in s.devices if any(isinstance(m, Assignment) for m in s.devices[name].heard))
    s.devices[one].send_chunks = True
    s.devices[one].request()
    s.settle()
    assert s.rounds[0].phase == "committed"
    windows = PaceSteering(0.1).windows(8)
    (accepted,), (dropped,) = told(s, one, ReportAck), told(s, other, Abort)
    assert 0.6 * windows.accepted < accepted < 1.4 * windows.accepted
    assert 0.6 * windows.rejected < dropped < 1.4 * windows.rejected


def test_enough_devices_wait_and_the_rest_is_sent_away_until_their_time(scene: Make) -> None:
    s = scene(goal=2, rounds=9, over_selection=1.0, pace=steering(0.05, small=4))
    s.join("d1", "d2")
    for device in s.devices.values():
        device.send_chunks = False
    s.settle()  # the round is under way
    s.join("d3", "d4", "d5", "d6", "d7", "d8")
    s.settle()
    away = [name for name in s.devices if told(s, name, ComeBackLater)]
    assert away == ["d7", "d8"]  # four wait: two rounds' worth
    assert s.coordinator.fleet.available() == 4
    assert s.coordinator.fleet.reachable() == 4
    s.clock.advance(max(told(s, "d7", ComeBackLater)))
    assert s.coordinator.fleet.reachable() == 5


def test_a_late_report_is_told_when_to_come_back_and_is_not_asked_before(scene: Make) -> None:
    s = scene(goal=1, rounds=2, over_selection=2.0)
    s.join("d1", "d2")
    s.devices["d2"].send_chunks = False
    s.settle()
    late = s.devices["d2"]
    before = len(late.heard)
    late.say(UploadRequest(1, make_ref(late.update), 5, 1.0), round_id=1)
    s.settle()
    answer = next(m for m in late.heard[before:] if isinstance(m, ReportAck))
    assert not answer.accepted
    assert 4.0 <= answer.come_back <= 6.0
    assert "d2" not in [c.device for c in s.coordinator.fleet.candidates()]
    late.check_in()
    s.settle()
    assert told(s, "d2", ComeBackLater)[-1] == pytest.approx(answer.come_back, abs=0.01)
