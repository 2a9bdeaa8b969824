"""One round, event by event, under a clock that the test moves."""

from dataclasses import replace

import pytest

from edgewise_coordinator.fleet import Fleet
from edgewise_coordinator.machine import Abandon, Action, Assign, Close, Drop, Phase, RoundMachine, Status
from edgewise_coordinator.selection.uniform import uniform
from edgewise_coordinator.settings import RoundSettings
from edgewise_wire.clock import ManualClock
from edgewise_wire.errors import ConfigError
from edgewise_wire.messages import CheckIn, Kind


class Round:
    """A round machine with its fleet and its clock."""

    def __init__(self, settings: RoundSettings, *, everyone: bool = False, seed: int = 0) -> None:
        self.clock = ManualClock()
        self.fleet = Fleet(self.clock)
        self.machine = RoundMachine(1, Kind.TRAIN, settings, uniform, self.clock, seed, everyone)

    def join(self, *names: str) -> None:
        for name in names:
            self.fleet.check_in(name, CheckIn(session=1, train_examples=10))

    def tick(self) -> list[Action]:
        actions = self.machine.tick(self.fleet)
        for action in actions:
            if isinstance(action, Assign):
                self.fleet.take(action.device, 1)
        return actions

    def start(self, *names: str) -> list[str]:
        self.join(*names)
        return [a.device for a in self.tick() if isinstance(a, Assign)]

    def report(self, *names: str) -> list[Action]:
        for name in names:
            self.machine.reported(name, 1)
        return self.tick()


NAMES = [f"d{i:02}" for i in range(20)]
TEN = RoundSettings(goal=10, min_reports=8)


def test_it_asks_three_tenths_more_than_the_goal() -> None:
    assert len(Round(TEN).start(*NAMES)) == 13


def test_it_waits_for_the_goal_and_not_for_those_who_cannot_come() -> None:
    r = Round(TEN)
    assert r.start(*NAMES[:9]) == []
    assert r.machine.phase is Phase.SELECTION
    assert len(r.start(NAMES[9])) == 10  # everyone reachable is here: waiting longer brings nobody


def test_it_gathers_a_while_for_those_who_are_online_but_not_here_yet() -> None:
    r = Round(TEN)
    for name in NAMES:
        r.fleet.presence(name, True, 1)
    assert r.start(*NAMES[:11]) == []
    r.clock.advance(TEN.gather_timeout)
    assert len([a for a in r.tick() if isinstance(a, Assign)]) == 11


def test_at_the_selection_deadline_the_minimum_is_enough() -> None:
    r = Round(TEN)
    r.start(*NAMES[:8])
    r.clock.advance(TEN.selection_timeout)
    assert len([a for a in r.tick() if isinstance(a, Assign)]) == 8
    assert r.machine.goal == 8


def test_fewer_than_the_minimum_abandon_the_round_and_say_why() -> None:
    r = Round(TEN)
    r.start(*NAMES[:7])
    r.clock.advance(TEN.selection_timeout)
    assert r.tick() == [Abandon("only 7 of 10 devices were available after 300 s")]
    assert r.machine.phase is Phase.ABANDONED


def test_the_goal_closes_the_round_and_the_rest_are_dismissed() -> None:
    r = Round(TEN)
    chosen = r.start(*NAMES)
    assert r.report(*chosen[:9]) == []
    actions = r.report(chosen[9])
    assert actions[-1] == Close()
    assert [a.device for a in actions if isinstance(a, Drop)] == chosen[10:]
    assert r.machine.phase is Phase.CLOSING


def test_a_report_counted_twice_is_counted_once() -> None:
    r = Round(replace(TEN, goal=2, min_reports=2, over_selection=1.0))
    a, _ = r.start(*NAMES[:2])
    assert r.report(a, a) == []
    assert r.machine.reports == 1


def test_a_report_of_another_attempt_does_not_count() -> None:
    r = Round(replace(TEN, goal=1, min_reports=1))
    (a,) = r.start(NAMES[0])
    r.machine.reported(a, 2)
    r.tick()
    assert r.machine.reports == 0


def test_at_the_report_deadline_the_minimum_closes_the_round() -> None:
    r = Round(TEN)
    chosen = r.start(*NAMES[:13])
    for name in chosen:
        r.machine.accepted(name, 1)
    r.report(*chosen[:8])
    r.clock.advance(TEN.report_timeout)
    assert r.tick()[-1] == Close()


def test_at_the_report_deadline_too_few_abandon_it() -> None:
    r = Round(TEN)
    chosen = r.start(*NAMES[:13])
    for name in chosen:
        r.machine.accepted(name, 1)
    r.report(*chosen[:7])
    r.clock.advance(TEN.report_timeout)
    last = r.tick()[-1]
    assert isinstance(last, Abandon)
    assert "7 of at least 8 reports came from 13 devices" in last.reason


def test_silence_after_an_assignment_is_a_failure() -> None:
    r = Round(TEN)
    chosen = r.start(*NAMES[:13])
    for name in chosen[1:]:
        r.machine.accepted(name, 1)
    r.clock.advance(TEN.accept_timeout)
    assert r.tick() == [Drop(chosen[0], 1, "no answer within 30 s")]
    assert r.machine.phase is Phase.REPORTING


def test_someone_else_is_asked_in_the_place_of_a_decline() -> None:
    r = Round(replace(TEN, goal=2, min_reports=2, over_selection=1.0))
    a, b = r.start(*NAMES[:4])
    r.machine.failed(a, 1, "too few examples")
    (action,) = r.tick()
    assert isinstance(action, Assign)
    assert action.device not in (a, b)


def test_offline_is_forgiven_for_a_while_and_then_not() -> None:
    r = Round(replace(TEN, goal=2, min_reports=1, over_selection=1.0))
    a, b = r.start(*NAMES[:2])
    for name in (a, b):
        r.machine.accepted(name, 1)
    r.machine.presence(a, False)
    r.clock.advance(TEN.offline_grace - 1)
    r.machine.presence(a, True)
    r.machine.presence(b, False)
    assert r.tick() == []
    r.clock.advance(TEN.offline_grace)
    assert r.tick() == [Drop(b, 1, "offline for 20 s")]
    assert r.report(a)[-1] == Close()


def test_when_all_have_failed_it_does_not_wait_for_the_deadline() -> None:
    r = Round(replace(TEN, goal=2, min_reports=2, over_selection=1.0))
    for name in r.start(*NAMES[:2]):
        r.machine.failed(name, 1, "battery is low")
    (action,) = r.tick()
    assert action == Abandon("0 of at least 2 reports came from 2 devices (battery is low)")


def test_selection_depends_on_seed_and_round_alone() -> None:
    again = [Round(TEN, seed=s).start(*NAMES) for s in (4, 4, 5)]
    assert again[0] == again[1] != again[2]


def test_an_evaluation_asks_everyone_who_can_be_reached() -> None:
    r = Round(RoundSettings(goal=5), everyone=True)
    assert len(r.start(*NAMES)) == 20
    assert r.report(*NAMES)[-1] == Close()


def test_the_next_deadline_is_the_nearest() -> None:
    r = Round(TEN)
    chosen = r.start(*NAMES[:13])
    assert r.machine.deadline() == TEN.accept_timeout
    for name in chosen:
        r.machine.accepted(name, 1)
    assert r.machine.deadline() == TEN.report_timeout
    r.machine.presence(chosen[0], False)
    assert r.machine.deadline() == TEN.offline_grace
    assert r.machine.count(Status.ACCEPTED) == 13


@pytest.mark.parametrize("wrong", [{"goal": 0}, {"over_selection": 0.5}, {"min_reports": 11}, {"report_timeout": 0}])
def test_settings_out_of_range_are_named(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="expected"):
        RoundSettings(**{"goal": 10, **wrong})  # type: ignore[arg-type]
