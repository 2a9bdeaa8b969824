"""FedProx and SCAFFOLD over the wire: what devices are told, and that c stays the mean of all cᵢ whatever happens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from coordinator_scene import SPECS, Scene, device_update
from edgewise_coordinator.algorithms.fedadam import fedadam
from edgewise_coordinator.algorithms.fedavg import fedavg
from edgewise_coordinator.algorithms.fedprox import fedprox
from edgewise_coordinator.algorithms.scaffold import scaffold
from edgewise_wire import topics
from edgewise_wire.codec import decode
from edgewise_wire.errors import ConfigError
from edgewise_wire.messages import Assignment, BlobChunk
from edgewise_wire.transport.base import Message
from edgewise_wire.weights import flatten, parameters

Make = Callable[..., Scene]
SIZE = parameters(SPECS)


class Variates:
    """Devices that keep their variates as the real ones do: by round, the assignment says which counts."""

    def __init__(self, scene: Scene) -> None:
        self.kept: dict[str, dict[int, np.ndarray]] = {}
        self.in_force: dict[str, np.ndarray] = {}
        self.told: list[Assignment] = []
        self.scene = scene

    def join(self, *names: str) -> None:
        self.scene.join(*names)
        for name in names:
            self.kept[name] = {0: np.zeros(SIZE, "f4")}
            self.scene.devices[name].train = lambda w, a, name=name: self.train(name, w, a)

    def train(self, name: str, weights: np.ndarray, asked: Assignment) -> np.ndarray:
        self.told.append(asked)
        device = self.scene.devices[name]
        own = self.kept[name].get(asked.control_round, np.zeros(SIZE, "f4"))
        rng = np.random.default_rng([int(name[1:]), device.round_id])
        change = rng.normal(0, 0.1, SIZE).astype("f4")
        self.kept[name] = {asked.control_round: own, device.round_id: own + change}
        return np.concatenate([device_update(name)(weights, asked), change])

    def mean_in_force(self) -> np.ndarray:
        """Return (1/N) Σ cᵢ over the variates that counted, by the coordinator's own book."""
        counted = self.scene.coordinator.store.counted_rounds()
        return np.mean([self.kept[d].get(counted.get(d, 0), np.zeros(SIZE, "f4")) for d in self.kept], 0)


def control(s: Scene) -> np.ndarray:
    return s.coordinator.model.state["control"]


def test_mu_reaches_the_devices_and_evaluations_have_none(scene: Make) -> None:
    s = scene(goal=2, rounds=1, evaluate_every=1, algorithm=fedprox(0.25, fedadam()))
    s.join("d1", "d2")
    s.run()
    told = [m for m in s.devices["d1"].heard if isinstance(m, Assignment)]
    assert [(a.kind, a.mu, a.correction) for a in told] == [(1, 0.0, ""), (0, 0.25, ""), (1, 0.0, "")]
    assert set(s.coordinator.model.state) == {"m", "v"}


def test_fedprox_without_mu_is_fedavg_bit_for_bit(scene: Make, tmp_path_factory: pytest.TempPathFactory) -> None:
    s = scene(goal=3, rounds=2, algorithm=fedprox(0.0))
    plain = Scene(tmp_path_factory.mktemp("plain"), s.settings, options={"algorithm": fedavg()})
    for one in (s, plain):
        one.join("d1", "d2", "d3")
        one.run()
    assert s.coordinator.weights.tobytes() == plain.coordinator.weights.tobytes()


def test_scaffolds_first_round_is_the_plain_mean_of_the_devices_changes(scene: Make) -> None:
    s = scene(goal=3, rounds=1, algorithm=scaffold(3))
    Variates(s).join("d1", "d2", "d3")
    s.run()
    w0 = flatten(s.artifact.weights(), SPECS)
    expected = w0 + np.mean([device_update(d)(w0, None) for d in ("d1", "d2", "d3")], 0)
    np.testing.assert_allclose(s.coordinator.weights, expected, atol=1e-6)


def test_the_control_variate_travels_as_a_blob_and_the_update_is_twice_as_long(scene: Make) -> None:
    s = scene(goal=2, rounds=2, algorithm=scaffold(2))
    spy = s.broker.connect("spy")
    spy.subscribe(f"{topics.ROOT}/test/blob/#")
    v = Variates(s)
    v.join("d1", "d2")
    s.run()
    assert [a.correction for a in v.told] == ["scaffold"] * 4
    assert [a.control_round for a in v.told] == [0, 0, 1, 1]
    first, second = v.told[0].control, v.told[-1].control
    assert first.hash != second.hash
    chunks = {}
    while (event := spy.poll(0.0)) is not None:
        if isinstance(event, Message) and event.payload:
            body = decode(event.payload).body
            assert isinstance(body, BlobChunk)
            if body.hash == second.hash:
                chunks[body.index] = body.data
    sent = np.frombuffer(b"".join(chunks[i] for i in sorted(chunks)), "<f4")
    np.testing.assert_allclose(sent, np.mean([v.kept[d][1] for d in ("d1", "d2")], 0), atol=1e-6)
    assert all(r.bytes == 8 * SIZE for r in s.coordinator.store.reports(1))


def test_c_stays_the_mean_of_all_with_a_part_of_the_fleet_in_each_round(scene: Make) -> None:
    s = scene(goal=2, rounds=5, over_selection=1.0, algorithm=scaffold(5))
    v = Variates(s)
    v.join("d1", "d2", "d3", "d4", "d5")
    s.run()
    np.testing.assert_allclose(control(s), v.mean_in_force(), atol=1e-5)
    assert np.abs(control(s)).max() > 0.01


def test_a_report_of_an_abandoned_round_does_not_count(scene: Make) -> None:
    s = scene(goal=2, rounds=2, min_reports=2, over_selection=1.0, algorithm=scaffold(2))
    v = Variates(s)
    v.join("d1", "d2")
    s.devices["d1"].answer_assignments = False
    s.settle()
    s.advance(31)  # d2's report was accepted; then d1 was given up, and the round with it
    assert s.rounds[0].phase == "abandoned"
    assert s.rounds[0].reported == 1
    np.testing.assert_array_equal(control(s), 0)
    s.devices["d1"].answer_assignments = True
    s.devices["d1"].check_in()
    s.run()
    assert [a.control_round for a in v.told if a.version == 0] == [0, 0, 0]
    np.testing.assert_allclose(control(s), v.mean_in_force(), atol=1e-5)


@pytest.mark.parametrize("steps", [5, 11, 17, 23, 31, 41])
def test_a_restart_anywhere_ends_in_the_same_bits(scene: Make, tmp_path_factory: pytest.TempPathFactory, steps) -> None:
    s = scene(goal=3, rounds=3, over_selection=1.0, algorithm=scaffold(3))
    v = Variates(s)
    v.join("d1", "d2", "d3")
    for _ in range(steps):
        s.coordinator.step(0.0)
        for d in s.devices.values():
            d.step()
    s.broker.cut("coordinator")
    s.start()
    s.run()
    calm = Scene(tmp_path_factory.mktemp("calm"), s.settings, options=s.options)
    Variates(calm).join("d1", "d2", "d3")
    calm.run()
    assert s.coordinator.weights.tobytes() == calm.coordinator.weights.tobytes()
    assert control(s).tobytes() == control(calm).tobytes()


def test_another_algorithm_over_the_same_directory_starts_its_state_anew(scene: Make) -> None:
    s = scene(goal=2, rounds=1, algorithm=scaffold(2))
    Variates(s).join("d1", "d2")
    s.run()
    assert s.coordinator.model.controls.add_to(Assignment(), "d1").control_round == 1
    s.settings = replace(s.settings, rounds=2)
    for device in s.devices.values():
        device.train = device_update(device.name)
    for algorithm in (fedavg(), scaffold(2)):
        s.broker.cut("coordinator")
        s.options = {"algorithm": algorithm}
        s.start()
        s.run()
    assert s.coordinator.version == 2
    np.testing.assert_array_equal(control(s), 0)
    assert s.coordinator.model.controls.add_to(Assignment(), "d1").control_round == 0


def test_an_update_of_the_wrong_length_is_refused(scene: Make) -> None:
    s = scene(goal=1, rounds=1, algorithm=scaffold(1))
    s.join("d1")  # sends Δw alone
    s.settle()
    assert s.coordinator.link.refused["update: another size than the model's"] == 1


def test_what_one_message_cannot_name_is_refused_at_once(scene: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgewise_coordinator.offers.CHUNKS_MAX", 5)
    s = scene(goal=1, rounds=1, algorithm=scaffold(1))
    s.join("d1")
    with pytest.raises(ConfigError, match="without a control variate"):
        s.settle()
