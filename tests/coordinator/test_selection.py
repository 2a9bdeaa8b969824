"""Who is asked: the laws of each strategy, and of those that a package or an operator adds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from coordinator_scene import Scene
from edgewise_coordinator.fleet import Fleet
from edgewise_coordinator.machine import Abandon, Assign, Phase, RoundMachine
from edgewise_coordinator.selection import registry
from edgewise_coordinator.selection.base import Candidate, Selection, round_generator
from edgewise_coordinator.selection.by_size import by_size
from edgewise_coordinator.selection.fair import fair
from edgewise_coordinator.selection.separated import separated
from edgewise_coordinator.selection.uniform import uniform
from edgewise_coordinator.settings import RoundSettings
from edgewise_wire.clock import ManualClock
from edgewise_wire.errors import ConfigError
from edgewise_wire.messages import CheckIn, Kind

STRATEGIES = [uniform, fair, by_size, separated(3), separated(2, fair)]


def fleet(count: int = 30) -> list[Candidate]:
    return [Candidate(f"d{i:02}", examples=i, last_round=i % 7) for i in range(count)]


def draws(strategy: Selection, candidates: list[Candidate], count: int, times: int) -> Counter[str]:
    return Counter(d for r in range(times) for d in strategy(candidates, count, round_generator(0, r)))


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda s: s.name)
@pytest.mark.parametrize("count", [0, 1, 7, 30, 99])
def test_as_many_as_asked_each_once_and_a_function_of_seed_and_round(strategy: Selection, count: int) -> None:
    chosen = [strategy(fleet(), count, round_generator(*key)) for key in ((5, 1), (5, 1), (5, 2), (6, 1))]
    assert all(len(c) == len(set(c)) == min(count, 30) for c in chosen)
    assert chosen[0] == chosen[1]
    if count == 7:
        assert chosen[0] != chosen[2]
        assert chosen[0] != chosen[3]


def test_uniform_draws_all_equally_often() -> None:
    found = draws(uniform, fleet(), 10, 3000)
    assert all(abs(n - 1000) < 5 * np.sqrt(1000 * 2 / 3) for n in found.values())
    assert len(found) == 30


def test_fair_takes_those_who_waited_longest_and_draws_among_equals() -> None:
    by_last = {c.device: c.last_round for c in fleet()}
    for round_id in range(50):
        chosen = fair(fleet(), 8, round_generator(1, round_id))
        assert Counter(by_last[d] for d in chosen) == {0: 5, 1: 3}
    found = draws(fair, fleet(), 8, 500)
    assert sum(by_last[d] == 1 for d in found) == 5


def test_with_fair_nobody_waits_longer_than_it_takes_to_go_round() -> None:
    last = dict.fromkeys([f"d{i:02}" for i in range(30)], 0)
    for number in range(1, 31):
        chosen = fair([Candidate(d, 1, n) for d, n in sorted(last.items())], 7, round_generator(2, number))
        last.update(dict.fromkeys(chosen, number))
        assert number - min(last.values()) <= 5  # of 30 devices, 7 a round


def test_by_size_draws_the_first_in_proportion_to_the_examples() -> None:
    found = draws(by_size, fleet(), 1, 8000)
    for device, n in found.items():
        expected = 8000 * int(device[1:]) / sum(range(30))
        assert abs(n - expected) < 5 * np.sqrt(expected) + 1
    assert "d00" not in found


@pytest.mark.parametrize(
    ("sizes", "count", "chances"),
    [
        ([1, 2, 5, 4, 3], 2, [2 / 15, 4 / 15, 10 / 15, 8 / 15, 6 / 15]),
        ([1, 2, 5], 2, [1 / 3, 2 / 3, 1]),  # 2 · 5 / 8 is more than 1: the third is certain, the others share a place
        ([1, 1, 4, 20, 9], 3, [1 / 6, 1 / 6, 4 / 6, 1, 1]),  # only without the fourth is the fifth certain
        ([3, 3, 3, 3], 3, [3 / 4] * 4),
        ([1, 1, 2], 2, [1 / 2, 1 / 2, 1]),  # exactly 1
    ],
)
def test_by_size_draws_each_with_a_chance_in_proportion_to_its_examples(
    sizes: list[int], count: int, chances: list[float]
) -> None:
    candidates, times = [Candidate(f"d{i}", size) for i, size in enumerate(sizes)], 4000
    found = draws(by_size, candidates, count, times)
    for i, chance in enumerate(chances):
        assert abs(found[f"d{i}"] - times * chance) <= 5 * np.sqrt(times * chance * (1 - chance))


def test_by_size_holds_out_with_the_largest_counts_that_a_device_can_claim() -> None:
    claims = [Candidate(f"d{i:04}", 2**32 - 1 - i) for i in range(2000)]
    chosen = by_size(claims, 900, round_generator(0, 1))
    assert len(set(chosen)) == 900


def test_by_size_takes_those_without_examples_last() -> None:
    assert by_size([Candidate("a"), Candidate("b"), Candidate("c", 3)], 2, round_generator(0, 1)) in (
        ["a", "c"],
        ["b", "c"],
    )


@pytest.mark.parametrize("m", [2, 3, 5])
def test_separation_lets_a_device_take_part_at_most_once_in_m_rounds(m: int) -> None:
    strategy = separated(m)
    assert strategy.eligible is not None
    last, taken = dict.fromkeys([f"d{i}" for i in range(12)], 0), []
    for number in range(1, 40):
        open_to = [c for c in (Candidate(d, 1, n) for d, n in sorted(last.items())) if strategy.eligible(c, number)]
        chosen = strategy(open_to, 2, round_generator(0, number))
        last.update(dict.fromkeys(chosen, number))
        taken.append(set(chosen))
    for start in range(len(taken) - m + 1):
        window = [d for chosen in taken[start : start + m] for d in chosen]
        assert len(window) == len(set(window))
    assert separated(1, fair) is fair
    with pytest.raises(ConfigError, match="at least 1 round"):
        separated(0)


def test_separations_hold_together() -> None:
    both = separated(2, separated(4))
    assert both.eligible is not None
    assert [both.eligible(Candidate("a", last_round=1), n) for n in (2, 3, 4, 5)] == [False, False, False, True]


class TestMachine:
    """The round machine counts only those whom the strategy may ask."""

    def machine(self, number: int) -> tuple[RoundMachine, Fleet, ManualClock]:
        clock = ManualClock()
        pool = Fleet(clock, {"d1": 4, "d2": 4, "d3": 1})
        settings = RoundSettings(goal=2, min_reports=2, over_selection=1.0)
        for name in ("d1", "d2", "d3", "d4"):
            pool.check_in(name, CheckIn(session=1))
        return RoundMachine(9, Kind.TRAIN, settings, separated(3), clock, number=number), pool, clock

    def test_those_who_took_part_too_recently_are_not_asked(self) -> None:
        machine, pool, _ = self.machine(number=5)
        assert [a.device for a in machine.tick(pool) if isinstance(a, Assign)] == ["d3", "d4"]

    def test_too_few_others_abandon_the_round_and_it_says_why(self) -> None:
        machine, pool, clock = self.machine(number=3)  # d3 took part in round 1
        assert machine.tick(pool) == []
        clock.advance(300)
        assert machine.tick(pool) == [
            Abandon("only 1 of 2 devices were available after 300 s, 3 more took part too recently")
        ]

    def test_nobody_is_asked_in_the_place_of_a_failure_who_may_not_be(self) -> None:
        machine, pool, _ = self.machine(number=5)
        machine.tick(pool)
        machine.failed("d3", 1, "battery is low")
        assert [a for a in machine.tick(pool) if isinstance(a, Assign)] == []

    def test_a_strategy_that_chooses_too_few_gets_no_round(self) -> None:
        clock = ManualClock()
        pool = Fleet(clock)
        pool.check_in("d1", CheckIn(session=1))
        machine = RoundMachine(1, Kind.TRAIN, RoundSettings(goal=1), Selection("nobody", lambda c, n, r: []), clock)
        assert machine.tick(pool) == []
        clock.advance(300)
        assert machine.tick(pool) == [Abandon("the selection 'nobody' chose 0 of at least 1 devices")]
        assert machine.phase is Phase.ABANDONED


def mine(candidates: Sequence[Candidate], count: int, rng: np.random.Generator) -> list[str]:
    return [c.device for c in candidates][-count:]


class TestRegistry:
    def test_ours_have_names(self) -> None:
        assert set(registry.SELECTIONS) == {"uniform", "fair", "by-size"}
        assert registry.selection("fair") is fair
        assert registry.selection("by-size", 4).eligible is not None

    def test_a_function_of_a_module_will_do(self, monkeypatch: pytest.MonkeyPatch) -> None:
        import sys
        import types

        module = types.ModuleType("some_strategies")
        module.mine, module.wrong = mine, 3  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "some_strategies", module)
        assert registry.selection("some_strategies:mine")(fleet(), 2, round_generator(0, 1)) == ["d28", "d29"]
        with pytest.raises(ConfigError, match="expected a Selection or a function"):
            registry.selection("some_strategies:wrong")

    def test_a_package_offers_its_own_by_entry_point(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class Point:
            name = "offered"

            def load(self) -> Callable[..., list[str]]:
                return mine

        monkeypatch.setattr("importlib.metadata.entry_points", lambda group: [Point()])
        assert registry.selection("offered").name == "offered"

    @pytest.mark.parametrize("name", ["unknown", "no_such_module:f", "math:no_such_thing"])
    def test_what_is_not_there_is_named(self, name: str) -> None:
        with pytest.raises(ConfigError, match=name):
            registry.selection(name)

    @pytest.mark.parametrize("wrong", [["d00", "d00"], ["d00", "d01", "d02"], ["stranger"]])
    def test_a_strategy_that_breaks_the_rules_is_stopped(self, wrong: list[str]) -> None:
        with pytest.raises(ConfigError, match="expected at most 2 different devices"):
            Selection("wrong", lambda c, n, r: wrong)(fleet(), 2, round_generator(0, 1))


def test_a_restarted_coordinator_remembers_who_took_part_and_evaluations_do_not_count(
    scene: Callable[..., Scene],
) -> None:
    s = scene(goal=2, rounds=2, evaluate_every=1, over_selection=1.0, selection=fair)
    s.join("d1", "d2", "d3", "d4")
    s.run()
    first, second = (
        {p.device for p in s.coordinator.store.participants(r.round_id)} for r in s.rounds if r.kind == "train"
    )
    assert first | second == {"d1", "d2", "d3", "d4"}
    assert s.coordinator.store.last_rounds() == dict.fromkeys(first, 1) | dict.fromkeys(second, 2)
    s.broker.cut("coordinator")
    s.start()
    record = s.coordinator.fleet.get(next(iter(first)))
    assert record is not None
    assert record.last_round == 1
