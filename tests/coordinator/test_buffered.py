"""Buffered asynchronous rounds (Nguyen et al. 2022): who is at work, what counts how much, and what a restart keeps."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from coordinator_scene import SPECS, Scene, device_update
from edgewise_coordinator.aggregators.median import median
from edgewise_coordinator.algorithms.scaffold import scaffold
from edgewise_coordinator.machine import Phase
from edgewise_coordinator.settings import BufferSettings, RoundSettings, Settings, TrainingSettings
from edgewise_coordinator.update_transforms import norm_bound
from edgewise_wire.errors import ConfigError
from edgewise_wire.messages import Abort, Assignment, ReportAck
from edgewise_wire.weights import flatten
from scripted_device import ScriptedDevice

Make = Callable[..., Scene]
W0 = "the first weights"


@pytest.fixture
def buffered(tmp_path: Path) -> Callable[..., Scene]:
    def make(
        k: int = 2, concurrency: int = 4, rounds: int = 3, evaluate_every: int = 0, stale: int = 20,
        where: str = "run", options: dict[str, Any] | None = None, **cohort: Any,
    ) -> Scene:  # fmt: skip
        settings = Settings(
            "test",
            rounds,
            RoundSettings(goal=k, min_reports=k, **cohort),
            TrainingSettings(learning_rate=0.1),
            evaluate_every=evaluate_every,
            keep_updates=True,
            buffer=BufferSettings(concurrency, stale),
        )
        return Scene(tmp_path / where, settings, options=options or {})

    return make


def hold(s: Scene, *names: str) -> None:
    """These devices train but send nothing until they are let go."""
    for name in names:
        s.devices[name].send_chunks = False


def let_go(s: Scene, *names: str) -> None:
    """Let one update of each through, one after the other."""
    for name in names:
        device = s.devices[name]

        def once(device: ScriptedDevice = device, **resume: int) -> None:
            device.send_chunks = device.send_chunks and bool(resume)
            ScriptedDevice.check_in(device, **resume)

        device.check_in, device.send_chunks = once, True  # type: ignore[method-assign]
        device.request()
        s.settle()


def assigned(s: Scene, name: str) -> list[Assignment]:
    return [m for m in s.devices[name].heard if isinstance(m, Assignment)]


def accepted(s: Scene, name: str) -> list[bool]:
    return [m.accepted for m in s.devices[name].heard if isinstance(m, ReportAck)]


def numpy_fedbuff(s: Scene) -> list[np.ndarray]:
    """Algorithm 1 of the paper in float64, from the updates in the spool and what SQLite says of them alone."""
    w = flatten(s.artifact.weights(), SPECS).astype("f8")
    path, store = [w], s.coordinator.store
    base = {r.round_id: r.parent for r in store.versions() if r.round_id is not None}
    for row in store.versions()[1:]:
        total, weight = np.zeros_like(w), 0.0
        for report in store.reports(row.round_id):
            update = np.frombuffer((s.directory / "spool" / "buffer" / report.file).read_bytes(), "<f4").astype("f8")
            staleness = row.parent - base.get(report.round_id, row.parent)
            total += report.examples / np.sqrt(1 + staleness) * update
            weight += report.examples
        w = w + total / weight
        path.append(w)
    return path


def test_a_version_is_made_of_every_k_reports_and_devices_are_assigned_as_others_finish(buffered: Make) -> None:
    s = buffered(k=2, concurrency=3, rounds=4)
    s.join(*[f"d{i}" for i in range(1, 6)])
    s.run()
    assert s.coordinator.version == 4
    assert all(r.reported >= 2 for r in s.rounds)  # more where reports came at once
    for version, expected in enumerate(numpy_fedbuff(s)):
        np.testing.assert_allclose(s.coordinator.model.versions.load(version)[0], expected, atol=1e-6)


def test_no_more_devices_are_at_work_than_the_limit(buffered: Make) -> None:
    s = buffered(k=2, concurrency=3)
    s.join(*[f"d{i}" for i in range(1, 8)])
    hold(s, *s.devices)
    s.settle()
    assert sum(bool(assigned(s, n)) for n in s.devices) == 3
    first = next(n for n in s.devices if assigned(s, n))
    let_go(s, first)
    assert sum(bool(assigned(s, n)) for n in s.devices) == 4  # someone took the free place before the buffer is full
    assert s.coordinator.version == 0


def test_a_straggler_counts_in_a_later_version_with_its_discount(buffered: Make) -> None:
    s = buffered(k=2, concurrency=6, rounds=4)
    s.join("d1", "d2", "d3", "d4", "d5", "d6")
    hold(s, *s.devices)
    s.settle()
    base = assigned(s, "d6")[0]
    assert base.version == 0
    let_go(s, "d1", "d2")
    assert s.coordinator.version == 1
    let_go(s, "d3", "d4")
    assert s.coordinator.version == 2
    let_go(s, "d5", "d6")  # both started from version 0: two versions old
    assert s.coordinator.version == 3
    assert accepted(s, "d6") == [True]
    w0 = flatten(s.artifact.weights(), SPECS)
    before, after = (s.coordinator.model.versions.load(v)[0] for v in (2, 3))
    updates = [device_update(n)(w0, None).astype("f8") for n in ("d5", "d6")]
    mean = np.average(updates, axis=0, weights=[10, 11]) / np.sqrt(3)
    np.testing.assert_allclose(after - before, mean, atol=1e-6)
    np.testing.assert_allclose(after, numpy_fedbuff(s)[3], atol=1e-6)


def test_weights_of_older_versions_stay_on_the_broker_while_someone_needs_them(buffered: Make) -> None:
    s = buffered(k=1, concurrency=2, rounds=9)
    s.join("d1", "d2")
    hold(s, "d1")
    s.devices["d2"].answer_assignments = False
    s.settle()
    old = assigned(s, "d2")[0].weights.hash.hex()
    hold(s, "d1")
    for _ in range(3):
        let_go(s, "d1")
    assert s.coordinator.version == 3
    assert any(old in topic for topic, payload in s.broker.retained().items() if payload)
    s.advance(31)  # it never answered: given up
    let_go(s, "d1")
    assert not any(old in topic for topic, payload in s.broker.retained().items() if payload)


def test_a_report_that_is_too_old_is_not_waited_for(buffered: Make) -> None:
    s = buffered(k=1, concurrency=2, rounds=9, stale=1)
    s.join("d1", "d2")
    hold(s, "d2")
    s.settle()
    s.run()
    late = [m for m in s.devices["d2"].heard if isinstance(m, Abort)]
    assert late[0].reason == "its model is 2 versions old, at most 1 count"


def test_a_device_counts_once_in_a_buffer(buffered: Make) -> None:
    s = buffered(k=3, concurrency=3, rounds=1)
    s.join("d1", "d2")
    s.settle()
    assert s.coordinator.round is not None
    assert s.coordinator.round.machine.reports == 2
    assert len(assigned(s, "d1")) == 1
    s.join("d3")
    s.settle()
    assert s.coordinator.version == 1


def test_after_the_deadline_fewer_reports_do_but_never_too_few(buffered: Make) -> None:
    s = buffered(k=4, concurrency=4, rounds=1, report_timeout=60.0)
    s.settings = s.settings.__class__(
        "test", 1, RoundSettings(goal=4, min_reports=2, report_timeout=60.0), evaluate_every=0,
        keep_updates=True, buffer=BufferSettings(4),
    )  # fmt: skip
    s.broker.cut("coordinator")
    s.start()
    s.join("d1")
    s.settle()
    s.advance(300)
    assert s.coordinator.version == 0  # one report waits, however long
    s.join("d2")
    s.settle()
    assert s.coordinator.version == 1
    assert s.rounds[0].reported == 2


def test_a_device_that_failed_may_try_again(buffered: Make) -> None:
    s = buffered(k=1, concurrency=1, rounds=1)
    s.join("d1")
    s.devices["d1"].answer_assignments = False
    s.settle()
    s.advance(31)
    s.devices["d1"].answer_assignments = True
    s.devices["d1"].check_in()
    s.settle()
    assert s.coordinator.version == 1


def test_evaluations_go_on_beside_devices_at_work(buffered: Make) -> None:
    s = buffered(k=2, concurrency=4, rounds=3, evaluate_every=1)
    s.join(*[f"d{i}" for i in range(1, 8)])
    hold(s, "d1")
    s.run()
    assert [r.kind for r in s.rounds] == ["evaluate", "train"] * 3 + ["evaluate"]
    assert all(r.phase == "committed" for r in s.rounds)
    assert s.coordinator.store.versions()[2].metrics


def test_a_report_that_comes_while_an_evaluation_runs_is_not_lost(buffered: Make) -> None:
    s = buffered(k=1, concurrency=2, rounds=3, evaluate_every=1)
    s.join("d1", "d2", "d3", "d4")
    hold(s, *s.devices)
    s.devices["d3"].measures = {}  # its evaluation is refused
    s.settle()
    working = [n for n in s.devices if any(a.kind == 0 for a in assigned(s, n))]
    assert len(working) == 2
    let_go(s, *working)
    assert all(accepted(s, n)[-1] for n in working)
    assert s.coordinator.version >= 1


def test_at_the_end_nobody_is_left_at_work(buffered: Make) -> None:
    s = buffered(k=1, concurrency=3, rounds=2)
    s.join("d1", "d2", "d3")
    hold(s, "d2", "d3")
    s.run()
    for name in ("d2", "d3"):
        assert any(isinstance(m, Abort) and m.reason == "the last round is over" for m in s.devices[name].heard)
    assert s.coordinator.complete


def test_a_norm_bound_and_the_discount_hold_together(buffered: Make) -> None:
    s = buffered(k=2, concurrency=2, rounds=1, options={"transform": norm_bound(1.0)})
    s.join("d1", "d2")
    s.run()
    w0 = flatten(s.artifact.weights(), SPECS).astype("f8")
    updates = [device_update(n)(w0.astype("f4"), None).astype("f8") for n in ("d1", "d2")]
    bounded = [u / max(1.0, np.linalg.norm(u)) for u in updates]
    np.testing.assert_allclose(s.coordinator.weights, w0 + np.average(bounded, axis=0, weights=[6, 7]), atol=1e-6)


def test_a_robust_aggregator_works_on_a_buffer(buffered: Make) -> None:
    s = buffered(k=3, concurrency=3, rounds=1, options={"aggregator": median()})
    s.join("d1", "d2", "d3")
    s.run()
    w0 = flatten(s.artifact.weights(), SPECS)
    middle = np.median([device_update(n)(w0, None) for n in ("d1", "d2", "d3")], axis=0)
    np.testing.assert_allclose(s.coordinator.weights, w0 + middle, atol=1e-6)


def test_scaffold_has_no_buffer(buffered: Make) -> None:
    with pytest.raises(ConfigError, match="scaffold with a norm bound or a staleness discount"):
        buffered(options={"algorithm": scaffold(4)})


class TestRestart:
    """The coordinator is dropped at some point and a new one is started over its directory."""

    @pytest.mark.parametrize("steps", range(2, 60, 4))
    def test_every_acknowledged_report_is_in_one_version(self, buffered: Make, steps: int) -> None:
        s = buffered(k=2, concurrency=4, rounds=4, evaluate_every=2)
        s.join(*[f"d{i}" for i in range(1, 7)])
        for _ in range(steps):
            s.coordinator.step(0.0)
            for d in s.devices.values():
                d.step()
        s.broker.cut("coordinator")
        s.start()
        s.run()
        assert s.coordinator.version == 4
        for version, expected in enumerate(numpy_fedbuff(s)):
            np.testing.assert_allclose(s.coordinator.model.versions.load(version)[0], expected, atol=1e-6)
        acknowledged = sum(sum(accepted(s, n)) for n in s.devices)
        evaluated = sum(r["reported"] for r in summaries(s, 1))
        assert acknowledged >= 8
        assert sum(r["reported"] for r in summaries(s, 0)) == sum(
            len(s.coordinator.store.reports(r["round_id"])) for r in summaries(s, 0)
        )
        for name, device in s.devices.items():
            for ack in (m for m in device.heard if isinstance(m, ReportAck) and m.accepted and m.attempt > 1):
                assert s.coordinator.store.has_report(ack.attempt, name, ack.attempt)
        counted = s.coordinator.store._db.execute("SELECT count(*), count(DISTINCT round_id || device) FROM buffered")
        everything, distinct = counted.fetchone()
        assert everything == distinct
        assert acknowledged <= everything + evaluated + repeats(s)

    def test_the_same_reports_in_the_same_buffers_are_the_same_bits(self, buffered: Make) -> None:
        results = []
        for where, cut in (("calm", False), ("cut", True)):
            s = buffered(k=2, concurrency=4, rounds=2, where=where)
            s.join("d1", "d2", "d3", "d4")
            hold(s, *s.devices)
            s.settle()
            for name in ("d2", "d4", "d1", "d3") if not cut else ("d4", "d2", "d3", "d1"):
                let_go(s, name)
                if cut:
                    s.broker.cut("coordinator")
                    s.start()
                    s.settle()
            assert s.coordinator.version == 2
            results.append(s.coordinator.weights.tobytes())
        assert results[0] == results[1]

    def test_stragglers_are_known_after_a_restart_with_the_version_they_started_from(self, buffered: Make) -> None:
        s = buffered(k=1, concurrency=2, rounds=5)
        s.join("d1", "d2", "d3")
        hold(s, *s.devices)
        s.settle()
        one, other = (n for n in s.devices if assigned(s, n))
        let_go(s, one)
        assert s.coordinator.version == 1
        s.broker.cut("coordinator")
        s.start()
        s.settle()
        assert s.coordinator.round is not None
        assert s.coordinator.round.machine.participants[other].version == 0
        assert s.coordinator.round.machine.phase in (Phase.CONFIGURATION, Phase.REPORTING)
        let_go(s, other)
        assert accepted(s, other)[-1]
        np.testing.assert_allclose(s.coordinator.model.versions.load(2)[0], numpy_fedbuff(s)[2], atol=1e-6)


def summaries(s: Scene, kind: int) -> list[dict[str, Any]]:
    rows = s.coordinator.store._db.execute("SELECT summary FROM rounds WHERE kind = ? AND ended IS NOT NULL", (kind,))
    return [json.loads(row[0]) for row in rows]


def repeats(s: Scene) -> int:
    """Return how many acknowledgements told a device what it had been told before."""
    return sum(
        len(heard) - len(set(heard))
        for heard in (
            [(m.attempt, m.accepted) for m in d.heard if isinstance(m, ReportAck)] for d in s.devices.values()
        )
    )
