"""Rounds with encoded updates: what is summed, what a restart gives, what is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from coordinator_scene import SPECS, Scene, device_update
from edgewise_coordinator.aggregators.median import median
from edgewise_coordinator.algorithms.scaffold import scaffold
from edgewise_coordinator.settings import BufferSettings, TrainingSettings
from edgewise_wire.errors import ConfigError
from edgewise_wire.messages import ReportAck
from edgewise_wire.transforms import Key, get
from edgewise_wire.weights import flatten, parameters

Make = Callable[..., Scene]
SIZE = parameters(SPECS)
ENCODINGS = ["float16", "rotated-4", "eden-1", "eden-3", "lloyd-2", "topk-0.01", "clip-2", "clip-2+eden-2"]


def with_encoding(scene: Make, name: str, **settings: object) -> Scene:
    s = scene(**settings)
    s.coordinator.store.close()
    s.broker.cut("coordinator")
    training = replace(s.settings.training, encoding=name)
    s.settings = replace(s.settings, training=training)
    s.start()
    return s


def expected_mean(s: Scene, weights: np.ndarray, round_id: int, name: str, names: tuple[str, ...]) -> np.ndarray:
    """Encode and decode each device's update by hand, and average in float64."""
    codec, total, count = get(name), np.zeros(SIZE), 0
    for device in names:
        update = device_update(device)(weights, None)
        key = Key(s.settings.seed, round_id, device)
        examples = s.devices[device].examples
        total += examples * codec.decode(codec.encode(update, key, None).data, SIZE, key).astype("f8")
        count += examples
    return total / count


@pytest.mark.parametrize("name", ENCODINGS)
def test_a_round_sums_what_the_devices_encoded(scene: Make, name: str) -> None:
    s = with_encoding(scene, name, goal=3, rounds=1, over_selection=1.0)
    before = flatten(s.artifact.weights(), SPECS)
    s.join("d1", "d2", "d3")
    s.run()
    wanted = before + expected_mean(s, before, 1, name, ("d1", "d2", "d3"))
    np.testing.assert_allclose(s.coordinator.weights, wanted, atol=1e-6)
    assert [r.bytes for r in s.coordinator.store.reports(1)] == [get(name).size(SIZE)] * 3


@pytest.mark.parametrize("name", ["eden-1", "rotated-4", "topk-0.01", "clip-2+eden-2"])
@pytest.mark.parametrize("steps", range(1, 40, 6))
def test_a_restart_anywhere_ends_in_the_same_bits(scene: Make, tmp_path: Path, name: str, steps: int) -> None:
    s = with_encoding(scene, name, goal=3, rounds=2, over_selection=1.0)
    s.join("d1", "d2", "d3")
    for _ in range(steps):
        s.coordinator.step(0.0)
        for d in s.devices.values():
            d.step()
    s.broker.cut("coordinator")  # as if killed: nothing is closed, nothing is said
    s.start()
    s.run()
    undisturbed = Scene(tmp_path / "undisturbed", s.settings)
    undisturbed.join("d1", "d2", "d3")
    undisturbed.run()
    assert s.coordinator.weights.tobytes() == undisturbed.coordinator.weights.tobytes()


def test_a_round_ends_in_the_encoding_it_began_with(scene: Make) -> None:
    s = with_encoding(scene, "eden-2", goal=2, rounds=1, over_selection=1.0)
    before = flatten(s.artifact.weights(), SPECS)
    s.join("d1", "d2")
    s.devices["d2"].send_chunks = False
    s.settle()
    s.broker.cut("coordinator")
    began = s.settings
    s.settings = replace(began, seed=99, training=TrainingSettings(learning_rate=0.1, encoding="topk-0.01"))
    s.start()
    s.devices["d2"].send_chunks = True
    s.run()
    s.settings = began
    wanted = before + expected_mean(s, before, 1, "eden-2", ("d1", "d2"))
    np.testing.assert_allclose(s.coordinator.weights, wanted, atol=1e-6)


def test_nothing_but_what_was_sent_stays_in_the_spool(scene: Make) -> None:
    s = with_encoding(scene, "eden-2", goal=2, rounds=1, over_selection=1.0)
    s.join("d1", "d2")
    s.run()
    files = sorted((s.directory / "spool" / "000001").iterdir())
    assert [f.suffix for f in files] == [".update"] * 2
    assert {f.stat().st_size for f in files} == {get("eden-2").size(SIZE)}


def test_a_median_of_encoded_updates(scene: Make) -> None:
    s = with_encoding(scene, "float16", goal=3, rounds=1, over_selection=1.0)
    s.coordinator.store.close()
    s.broker.cut("coordinator")
    s.options["aggregator"] = median()
    s.start()
    before = flatten(s.artifact.weights(), SPECS)
    s.join("d1", "d2", "d3")
    s.run()
    middle = np.median([device_update(d)(before, None) for d in ("d1", "d2", "d3")], axis=0)
    np.testing.assert_allclose(s.coordinator.weights, before + middle, atol=1e-3)


def test_another_encoding_than_the_one_asked_for_is_refused(scene: Make) -> None:
    s = with_encoding(scene, "eden-2", goal=1, rounds=1, min_reports=1, over_selection=2.0)
    s.join("d1", "d2")
    s.devices["d1"].encoding = "rotated-2"
    s.run()
    acks = [m for m in s.devices["d1"].heard if isinstance(m, ReportAck)]
    assert not acks[0].accepted
    assert acks[0].reason == "update: expected it encoded as eden-2, the device sends 'rotated-2'"


@pytest.mark.parametrize("fill", [b"\xff", b"\x00", b"\x7f"])
@pytest.mark.parametrize("name", ["float16", "rotated-4", "eden-2", "topk-0.01"])
def test_hostile_bytes_of_the_right_length_are_refused_and_the_round_goes_on(
    scene: Make, name: str, fill: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    s = with_encoding(scene, name, goal=1, rounds=1, min_reports=1, over_selection=2.0)
    s.join("d1", "d2")
    bad = s.devices["d1"]
    original = bad.request

    def request() -> None:
        bad.update = bad.update[:4] + fill * (len(bad.update) - 4)
        original()

    monkeypatch.setattr(bad, "request", request)
    s.run()
    acks = [m for m in bad.heard if isinstance(m, ReportAck)]
    assert not acks[0].accepted
    assert acks[0].reason.startswith("encoded update: ")
    assert s.coordinator.version == 1


def test_what_does_not_compose_is_refused_at_the_start(scene: Make) -> None:
    s = scene()
    s.coordinator.store.close()
    s.broker.cut("coordinator")
    s.settings = replace(s.settings, training=replace(s.settings.training, encoding="topk-0.01"))
    s.options["aggregator"] = median()
    with pytest.raises(ConfigError, match=r"topk-0\.01 does not go with median"):
        s.start()
    s.options = {"algorithm": scaffold(10)}
    with pytest.raises(ConfigError, match="does not go with scaffold"):
        s.start()
    with pytest.raises(ConfigError, match="'zip': not known"):
        TrainingSettings(encoding="zip")


def test_only_an_update_that_counted_settles_a_residual(scene: Make) -> None:
    s = with_encoding(scene, "topk-0.01", goal=2, rounds=2, over_selection=1.0)
    s.join("d1", "d2")
    asked: list[int] = []
    device = s.devices["d1"]
    original = device._work

    def work(assignment: object) -> None:
        asked.append(assignment.control_round)  # type: ignore[attr-defined]
        original(assignment)  # type: ignore[arg-type]

    device._work = work  # type: ignore[method-assign]
    s.run()
    assert asked == [0, 1]


def test_in_a_buffer_a_residual_goes_by_the_round_of_its_assignment(scene: Make) -> None:
    s = with_encoding(scene, "topk-0.01", goal=2, rounds=4, over_selection=1.0)
    s.coordinator.store.close()
    s.broker.cut("coordinator")
    s.settings = replace(s.settings, buffer=BufferSettings(concurrency=3))
    s.start()
    s.join("d1", "d2", "d3")
    told: dict[str, list[tuple[int, int]]] = {}
    for name, device in s.devices.items():

        def work(assignment, name=name, device=device, original=device._work) -> None:  # type: ignore[no-untyped-def]
            told.setdefault(name, []).append((device.round_id, assignment.control_round))
            original(assignment)

        device._work = work  # type: ignore[method-assign]
    s.run()
    assert s.coordinator.version == 4
    assert sum(len(rounds) for rounds in told.values()) >= 8
    for rounds in told.values():
        reported = [0, *(round_id for round_id, _ in rounds)]
        assert [control for _, control in rounds] == reported[:-1]
