"""The coordinator dies at each named point, in memory: optimizer state, control variates and buffers survive it.

`tests/integration/test_fault_points.py` does the same to a real process with FedAvg, by SIGKILL.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from coordinator_scene import SPECS, Scene, device_update
from edgewise_coordinator.aggregators.trimmed_mean import trimmed_mean
from edgewise_coordinator.algorithms.fedadam import fedadam
from edgewise_coordinator.algorithms.scaffold import scaffold
from edgewise_coordinator.faults import IN_SECURE_ROUNDS, FaultPoint, no_fault
from edgewise_coordinator.settings import BufferSettings, RoundSettings, Settings, TrainingSettings
from edgewise_wire.messages import Assignment, ReportAck
from edgewise_wire.weights import flatten, parameters

SIZE = parameters(SPECS)
COHORT = RoundSettings(goal=3, over_selection=1.0)
SETTINGS = Settings("test", 3, COHORT, TrainingSettings(learning_rate=0.1), evaluate_every=3, keep_updates=True)


class Killed(BaseException):
    """The process is gone: nothing below the hook runs any more."""


class Hook:
    """Dies once, when a point is passed for the n-th time."""

    def __init__(self, point: FaultPoint, count: int) -> None:
        self.point, self.count, self.fired = point, count, False
        self.passed: Counter[FaultPoint] = Counter()

    def __call__(self, at: FaultPoint) -> None:
        self.passed[at] += 1
        if at is self.point and self.passed[at] == self.count and not self.fired:
            self.fired = True
            raise Killed


def variates(s: Scene) -> None:
    """Make the devices send Δc too; it depends on the device, on the variate it was told of, and on c's version."""
    for name, device in s.devices.items():

        def train(weights: np.ndarray, asked: Assignment, name: str = name) -> np.ndarray:
            rng = np.random.default_rng([int(name[1:]), asked.control_round, asked.version])
            change = rng.normal(0, 0.1, SIZE).astype("f4")
            return np.concatenate([device_update(name)(weights, asked), change])

        device.train = train


def run(folder: Path, options: dict, settings: Settings, hook: Hook | None, prepare: Callable[[Scene], None]) -> Scene:
    s = Scene(folder, settings, options=options)
    if hook is not None:
        s.fault = hook
    s.join("d1", "d2", "d3")
    prepare(s)
    for _ in range(400):
        try:
            s.settle()
        except Killed:
            s.fault = no_fault
            s.broker.cut("coordinator")
            s.start()
            continue
        if s.coordinator.finished:
            return s
        s.clock.advance(1.0)
    raise AssertionError("the run did not end")


CASES = {
    "fedadam": ({"algorithm": fedadam()}, lambda s: None),
    "scaffold": ({"algorithm": scaffold(3)}, variates),
    "trimmed mean": ({"aggregator": trimmed_mean(0.4)}, lambda s: None),
}
calm: dict[str, tuple[bytes, dict[str, bytes]]] = {}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("point", [p for p in FaultPoint if p not in IN_SECURE_ROUNDS], ids=lambda p: p.value)
def test_a_death_at_any_point_ends_in_the_same_bits(tmp_path: Path, name: str, point: FaultPoint) -> None:
    options, prepare = CASES[name]
    if name not in calm:
        quiet = run(tmp_path / "calm", options, SETTINGS, None, prepare).coordinator
        calm[name] = quiet.weights.tobytes(), {k: np.asarray(v).tobytes() for k, v in quiet.model.state.items()}
    hook = Hook(point, 2)
    s = run(tmp_path / "run", options, SETTINGS, hook, prepare)
    assert hook.fired
    assert s.coordinator.weights.tobytes() == calm[name][0]
    assert {k: np.asarray(v).tobytes() for k, v in s.coordinator.model.state.items()} == calm[name][1]


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("point", [p for p in FaultPoint if p not in IN_SECURE_ROUNDS], ids=lambda p: p.value)
def test_a_buffer_keeps_every_acknowledged_report_and_counts_it_once(
    tmp_path: Path, point: FaultPoint, count: int
) -> None:
    settings = replace(SETTINGS, cohort=replace(COHORT, goal=2, min_reports=2), buffer=BufferSettings(3))
    hook = Hook(point, count)
    s = run(tmp_path / "run", {}, settings, hook, lambda s: None)
    assert hook.fired
    store, versions = s.coordinator.store, s.coordinator.store.versions()
    assert [(v.version, v.parent) for v in versions] == [(0, None), (1, 0), (2, 1), (3, 2)]
    base = {v.round_id: v.parent for v in versions}
    w = flatten(s.artifact.weights(), SPECS).astype("f8")
    seen: set[tuple[int, str]] = set()
    for version in versions[1:]:
        total, weight = np.zeros_like(w), 0.0
        for r in store.reports(version.round_id):
            assert (r.round_id, r.device) not in seen
            seen.add((r.round_id, r.device))
            update = np.frombuffer((s.directory / "spool/buffer" / r.file).read_bytes(), "<f4").astype("f8")
            total += r.examples / np.sqrt(1 + version.parent - base[r.round_id]) * update
            weight += r.examples
        w = w + total / weight
        np.testing.assert_allclose(s.coordinator.model.versions.load(version.version)[0], w, atol=1e-6)
    for name, device in s.devices.items():
        for ack in (m for m in device.heard if isinstance(m, ReportAck) and m.accepted and m.attempt > 1):
            assert (ack.attempt, name) in seen
