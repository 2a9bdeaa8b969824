"""Several aggregators end in the bits of one process, whichever of them is killed, and whatever devices send them."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from coordinator_scene import Scene
from edgewise_coordinator.aggregators.median import median
from edgewise_coordinator.algorithms.fedadam import fedadam
from edgewise_coordinator.collecting import spread
from edgewise_coordinator.collecting.spread import spread_over
from edgewise_coordinator.distributed.orders import Count, Stray
from edgewise_coordinator.exact_sum import ExactSum
from edgewise_coordinator.settings import BufferSettings, RoundSettings, Settings, TrainingSettings
from edgewise_coordinator.update_transforms import norm_bound
from edgewise_wire.blobs import make_ref
from edgewise_wire.clock import ManualClock
from edgewise_wire.errors import ConfigError, InputError
from edgewise_wire.messages import Kind, ReportAck, UploadRequest
from edgewise_wire.transport.memory import MemoryBroker
from local_engine import LocalEngine

NAMES = tuple(f"d{n}" for n in range(1, 8))
Build = Callable[..., tuple[Scene, LocalEngine]]


@pytest.fixture
def build(tmp_path: Path) -> Build:
    def make(number: int = 3, rounds: int = 2, encoding: str = "float32", **options: Any) -> tuple[Scene, LocalEngine]:
        clock, broker = ManualClock(1000.0, 5000.0), MemoryBroker()
        engine = LocalEngine(number, tmp_path / "nodes", broker, clock)
        cohort = RoundSettings(goal=len(NAMES), over_selection=1.0, report_timeout=600)
        training = TrainingSettings(learning_rate=0.1, encoding=encoding)
        settings = Settings("test", rounds, cohort, training, evaluate_every=0, keep_updates=True)
        options = {"collect": spread_over(engine), **options}
        return Scene(tmp_path / "run", settings, clock=clock, broker=broker, options=options), engine

    return make


def bits_of_one(s: Scene, tmp_path: Path) -> bytes:
    """The same devices' rounds in one process."""
    options = {k: v for k, v in s.options.items() if k != "collect"}
    alone = Scene(tmp_path / "alone", s.settings, options=options)
    alone.join(*NAMES)
    alone.run()
    return alone.coordinator.weights.tobytes()


@pytest.mark.parametrize("number", [1, 2, 3, 5])
def test_any_number_of_aggregators_ends_in_the_bits_of_none(build: Build, tmp_path: Path, number: int) -> None:
    s, engine = build(number, algorithm=fedadam())
    s.join(*NAMES)
    s.run()
    assert s.coordinator.weights.tobytes() == bits_of_one(s, tmp_path)
    assert [(r.phase, r.reported) for r in s.rounds] == [("committed", len(NAMES))] * 2
    assert sum(isinstance(order, Count) for order in engine.said) >= 2 * len(NAMES)  # nothing went past them
    assert not list((s.directory / "spool").rglob("*.update"))


@pytest.mark.parametrize("encoding", ["float16", "eden-2"])
def test_encoded_and_bounded_updates_too(build: Build, tmp_path: Path, encoding: str) -> None:
    s, _ = build(3, encoding=encoding, transform=norm_bound(3.0))
    s.join(*NAMES)
    s.run()
    assert s.coordinator.weights.tobytes() == bits_of_one(s, tmp_path)


def hold_back(s: Scene, *names: str) -> None:
    s.join(*NAMES)
    for name in names:
        s.devices[name].send_chunks = False
    s.settle()


def go_on(s: Scene, *names: str) -> None:
    for name in names:
        s.devices[name].send_chunks = True
        if s.devices[name].assignment is not None:
            s.devices[name].request()
    s.run()


@pytest.mark.parametrize("name", ["a0", "a1", "a2"])
def test_an_aggregator_killed_in_the_middle_of_a_round(build: Build, tmp_path: Path, name: str) -> None:
    s, engine = build()
    hold_back(s, "d1", "d2")
    engine.kill(name)
    s.settle()
    engine.start(name)
    s.settle()
    go_on(s, "d1", "d2")
    assert s.coordinator.weights.tobytes() == bits_of_one(s, tmp_path)


def test_one_that_is_gone_when_the_round_closes_is_waited_for(build: Build, tmp_path: Path) -> None:
    s, engine = build(2, rounds=1)
    hold_back(s, "d1")
    gone = next(n for n in engine.names if any(k[0] != "d1" for k in engine.nodes[n]._rounds[1].added))
    other = next(n for n in engine.names if n != gone)
    engine.kill(gone)
    s.devices["d1"].send_chunks = True
    if engine.nodes[other]._rounds[1].expected:
        s.devices["d1"].request()
        s.settle()
    else:  # its own aggregator is the one that is gone: the deadline closes the round without it
        s.advance(601)
    assert not s.rounds
    s.advance(100)
    assert not s.rounds
    engine.start(gone)
    s.settle()
    assert s.rounds[0].phase == "committed"
    assert s.rounds[0].reported >= len(NAMES) - 1


def test_one_that_never_comes_back_abandons_the_round_and_says_why(build: Build) -> None:
    s, engine = build(1, rounds=1)
    hold_back(s, "d1")
    engine.kill("a0")
    s.advance(601)
    assert not s.rounds
    s.advance(spread.PATIENCE_SECONDS + 1)
    assert s.rounds[0].phase == "abandoned"
    assert "did not come back; given up after 300 s" in s.rounds[0].reason


def test_an_update_that_is_gone_from_its_disk_is_named(build: Build) -> None:
    s, engine = build(1, rounds=1)
    hold_back(s, "d1")
    (lost,) = engine.nodes["a0"]._rounds[1].spool.glob("d2-*.update")
    lost.unlink()
    engine.kill("a0")
    engine.start("a0")
    s.advance(601)
    s.advance(spread.PATIENCE_SECONDS + 1)
    assert s.rounds[0].phase == "abandoned"
    assert "aggregator a0" in s.rounds[0].reason
    assert "d2-1.update" in s.rounds[0].reason


def test_a_coordinator_killed_in_the_middle_of_a_round(build: Build, tmp_path: Path) -> None:
    s, engine = build()
    hold_back(s, "d1", "d2")
    s.broker.cut("coordinator")
    for name in engine.names:  # its children end with it
        engine.kill(name)
        engine.start(name)
    s.start()
    s.settle()
    go_on(s, "d1", "d2")
    assert s.coordinator.weights.tobytes() == bits_of_one(s, tmp_path)


def test_a_round_goes_on_with_as_many_as_it_began_with(build: Build, tmp_path: Path) -> None:
    s, _ = build(3)
    hold_back(s, "d1")
    s.broker.cut("coordinator")
    s.options["collect"] = spread_over(LocalEngine(2, tmp_path / "nodes", s.broker, s.clock))
    with pytest.raises(ConfigError, match="--aggregators 2: round 1 is under way with 3"):
        s.start()


def test_a_device_that_does_not_know_aggregators_is_served_by_the_coordinator(build: Build, tmp_path: Path) -> None:
    s, _ = build()
    s.join(*NAMES)
    s.devices["d3"].knows_aggregators = False
    s.run()
    assert s.coordinator.weights.tobytes() == bits_of_one(s, tmp_path)
    assert [f.name for f in (s.directory / "spool").rglob("*.update")] == ["d3-1.update"] * 2


def test_what_is_not_finite_is_refused_and_the_round_goes_on(build: Build) -> None:
    s, _ = build(2, rounds=1)
    s.settings = replace(s.settings, cohort=replace(s.settings.cohort, min_reports=len(NAMES) - 1))
    s.start()
    s.join(*NAMES)
    s.devices["d4"].train = lambda weights, _: np.full(len(weights), np.nan, "f4")
    s.run()
    assert s.rounds[0].reported == len(NAMES) - 1
    assert [a.accepted for a in s.devices["d4"].heard if isinstance(a, ReportAck)][:1] == [False]
    assert s.coordinator.link.refused["update: norm out of bounds or not finite"] == 1
    assert np.isfinite(s.coordinator.weights).all()


def test_a_report_after_the_round_is_told_so(build: Build) -> None:
    s, engine = build(2, rounds=2)
    s.settings = replace(s.settings, cohort=replace(s.settings.cohort, min_reports=len(NAMES) - 1))
    s.start()
    hold_back(s, "d1")
    s.advance(601)
    assert s.rounds[0].reported == len(NAMES) - 1
    assert s.devices["d1"].assignment is None or s.devices["d1"].round_id == 2  # told to stop
    home = s.coordinator.round.collection.home("d1")  # type: ignore[union-attr]
    engine.nodes[home]._notices.append(Stray(1, "d1", 1))
    s.settle()
    last = [a for a in s.devices["d1"].heard if isinstance(a, ReportAck)][-1]
    assert (last.accepted, last.reason) == (False, "that round is over")


def test_a_report_that_comes_while_an_evaluation_runs_is_answered_then(build: Build) -> None:
    s, engine = build(2, rounds=2)
    least = replace(s.settings.cohort, min_reports=len(NAMES) - 1)
    s.settings = replace(s.settings, cohort=least, evaluate_every=1)
    s.start()
    hold_back(s, "d1")
    for device in s.devices.values():
        device.answer_assignments = False  # the evaluation that follows stays open
    late = s.devices["d1"]
    asked = late.assignment
    assert asked is not None
    s.advance(601)
    current = s.coordinator.round
    assert current is not None
    assert (current.kind, current.round_id) == (Kind.EVALUATE, s.rounds[-1].round_id + 1)
    late.heard.clear()
    late.assignment = asked
    late.say(UploadRequest(asked.attempt, make_ref(late.update), 6, 1.0), round_id=s.rounds[-1].round_id)
    s.advance(1)
    assert [(a.accepted, a.reason) for a in late.heard if isinstance(a, ReportAck)] == [(False, "that round is over")]
    again = s.devices["d2"]
    again.heard.clear()
    again.assignment = replace(asked, aggregator=engine.names[zlib.crc32(b"d2") % 2])
    again.say(UploadRequest(1, make_ref(again.update), 6, 1.0), round_id=s.rounds[-1].round_id)
    s.advance(1)
    assert [a.accepted for a in again.heard if isinstance(a, ReportAck)] == [True]  # it is safe: said once more
    assert s.coordinator.round is current


def test_bytes_at_the_aggregators_are_counted_once(build: Build) -> None:
    s, engine = build(2, rounds=3)
    s.join(*NAMES)
    s.run()
    sent = sum(node._link.bytes_up for node in engine.nodes.values())
    assert sum(r.bytes_up for r in s.rounds) >= sent
    assert [r.bytes_up for r in s.rounds] == pytest.approx([s.rounds[0].bytes_up] * 3, rel=0.2)


def test_a_device_that_asks_an_aggregator_which_knows_nothing_yet_is_not_refused(build: Build, tmp_path: Path) -> None:
    s, engine = build(1, rounds=1)
    hold_back(s, "d1")
    engine.nodes["a0"]._notices.append(Stray(1, "d1", 1))
    s.settle()
    assert not [a for a in s.devices["d1"].heard if isinstance(a, ReportAck)]
    go_on(s, "d1")
    assert s.coordinator.weights.tobytes() == bits_of_one(s, tmp_path)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"aggregator": median()}, "--aggregators with median: it needs all updates side by side"),
        ({}, "--aggregators with --buffer"),
    ],
)
def test_what_cannot_be_spread_is_refused(build: Build, tmp_path: Path, options: dict[str, Any], words: str) -> None:
    s, engine = build(2)
    settings = replace(s.settings, buffer=BufferSettings(4)) if not options else s.settings
    other = Scene(tmp_path / "other", settings, options={"collect": spread_over(engine), **options})
    with pytest.raises(ConfigError, match=words):
        other.settle()


def test_partial_sums_merge_to_the_bits_of_the_whole_in_any_grouping() -> None:
    rng = np.random.default_rng(3)
    updates = [(rng.normal(0, 5, 1000).astype("f4"), float(rng.integers(1, 9))) for _ in range(12)]
    whole = ExactSum(1000)
    for update, weight in updates:
        whole.add(update, weight)
    for cuts in ([0, 12], [0, 1, 12], [0, 4, 8, 12], list(range(13))):
        parts = []
        for start, stop in itertools.pairwise(cuts):
            part = ExactSum(1000)
            for update, weight in updates[start:stop]:
                part.add(update, weight)
            parts.append(part.partial())
        merged = ExactSum(1000)
        for part in reversed(parts):
            merged.merge(part.bits, part.terms, part.weight)
        assert merged.mean().tobytes() == whole.mean().tobytes()
    with pytest.raises(InputError, match=r"sum: expected int64\[999\], got int64\[1000\]"):
        ExactSum(999).merge(whole.partial().bits, 12, 1.0)
