"""Whole rounds with the real coordinator, agents and model, in each encoding, up and down."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgewise_coordinator.catalog import Catalog
from edgewise_coordinator.settings import RoundSettings, Settings, TrainingSettings
from edgewise_edge.control import RESIDUALS
from edgewise_edge.trainer import Trainer
from edgewise_wire.blobs import BlobStore, make_ref
from edgewise_wire.transforms import Key, get
from edgewise_wire.weights import flatten, to_bytes
from memory_fleet import MemoryFleet

SENTENCES = ["see you at me", "we are on to it", "i do not go up", "so it is", "can you see me"]
ENCODINGS = ["float16", "rotated-4", "eden-1", "eden-2", "eden-4", "lloyd-2", "topk-0.1", "clip-1", "clip-1+eden-2"]


def fleet(folder: Path, model: Path, encoding: str, downlink: str = "", **changes: object) -> MemoryFleet:
    training = TrainingSettings(epochs=2, learning_rate=0.5, encoding=encoding)
    plain = {"evaluate_every": 0, "keep_updates": True, "downlink": downlink} | changes
    rounds = plain.pop("rounds", 3)
    settings = Settings("test", rounds, RoundSettings(goal=3, over_selection=1.0), training, **plain)  # type: ignore[arg-type]
    texts = {f"pi-{n}": (SENTENCES * 4)[n : n + 10 + n] for n in range(3)}
    return MemoryFleet(folder, model, settings, texts)


@pytest.mark.parametrize("name", ENCODINGS)
def test_every_round_is_fedavg_over_what_the_devices_encoded(tmp_path: Path, fixture_dir: Path, name: str) -> None:
    found = fleet(tmp_path, fixture_dir / "tiny.tflite", name)
    found.run()
    coordinator, codec = found.coordinator, get(name)
    assert [r.phase for r in found.rounds] == ["committed"] * 3
    for summary in found.rounds:
        before, _ = coordinator.model.versions.load(summary.version - 1)
        after, _ = coordinator.model.versions.load(summary.version)
        reports = coordinator.store.reports(summary.round_id)
        assert [r.bytes for r in reports] == [codec.size(len(before))] * 3
        mean, total = np.zeros(len(before)), sum(r.examples for r in reports)
        for r in reports:
            data = (coordinator.directory / "spool" / f"{summary.round_id:06}" / r.file).read_bytes()
            update = codec.decode(data, len(before), Key(0, summary.round_id, r.device))
            assert np.abs(update).max() > 1e-4
            mean += r.examples / total * update.astype("f8")
        np.testing.assert_allclose(after, before + mean, atol=1e-6)
    residuals = list(tmp_path.glob(f"pi-*/{RESIDUALS}/*/*"))
    assert bool(residuals) is codec.stateful


@pytest.mark.parametrize("name", ["eden-4", "rotated-8", "float16"])
def test_fine_encodings_end_near_plain_float32(tmp_path: Path, fixture_dir: Path, name: str) -> None:
    plain = fleet(tmp_path / "plain", fixture_dir / "tiny.tflite", "float32")
    plain.run()
    encoded = fleet(tmp_path / "encoded", fixture_dir / "tiny.tflite", name)
    encoded.run()
    start = flatten(plain.coordinator.artifact.weights(), plain.coordinator.artifact.manifest.weights)
    moved = np.linalg.norm(plain.coordinator.weights - start)
    assert np.linalg.norm(encoded.coordinator.weights - plain.coordinator.weights) < 0.15 * moved


@pytest.mark.parametrize("name", ["eden-1", "topk-0.1"])
def test_the_same_run_gives_the_same_bits(tmp_path: Path, fixture_dir: Path, name: str) -> None:
    ends = []
    for n in range(2):
        found = fleet(tmp_path / str(n), fixture_dir / "tiny.tflite", name, downlink="lloyd-4")
        found.run()
        ends.append(found.coordinator.weights.tobytes())
    assert ends[0] == ends[1]


def starts(found: MemoryFleet) -> dict[str, list[bytes]]:
    """Return, as it grows, what each device's trainer was given to start from."""
    seen: dict[str, list[bytes]] = {}
    for device, host in found.hosts.items():
        original = host.trainer

        def watched(graph: Path, graph_hash: bytes, original=original, device=device) -> Trainer:  # type: ignore[no-untyped-def]
            trainer = original(graph, graph_hash)
            set_weights = type(trainer).set_weights

            def kept(weights) -> None:  # type: ignore[no-untyped-def]
                seen.setdefault(device, []).append(to_bytes(flatten(weights, trainer.manifest.weights)))
                set_weights(trainer, weights)

            trainer.set_weights = kept
            return trainer

        host.trainer = watched  # type: ignore[method-assign]
    return seen


@pytest.mark.parametrize("downlink", ["lloyd-4", "eden-2", "rotated-8", "topk-0.1", "float16"])
def test_every_device_starts_from_the_version_s_bits(tmp_path: Path, fixture_dir: Path, downlink: str) -> None:
    found = fleet(tmp_path, fixture_dir / "tiny.tflite", "eden-2", downlink)
    seen = starts(found)
    found.run()
    coordinator = found.coordinator
    versions = [coordinator.model.versions.load(v)[0] for v in range(4)]
    started_from = [v.tobytes() for v in versions[:3]]
    assert seen == dict.fromkeys(found.hosts, started_from)
    for version in range(1, 4):
        exact = coordinator.model.downlink.exact(version, versions[version])
        lost = np.linalg.norm(exact - versions[version])
        assert 0 < lost < 1.5 * np.linalg.norm(exact - versions[version - 1])
    np.testing.assert_array_equal(coordinator.weights, versions[3])


def test_what_a_version_lost_goes_with_the_next(tmp_path: Path, fixture_dir: Path) -> None:
    found = fleet(tmp_path, fixture_dir / "tiny.tflite", "float32", "lloyd-1")
    found.run()
    coordinator = found.coordinator
    for summary in found.rounds:
        before = coordinator.model.downlink.exact(
            summary.version - 1, coordinator.model.versions.load(summary.version - 1)[0]
        )
        after = coordinator.model.downlink.exact(summary.version, coordinator.model.versions.load(summary.version)[0])
        reports = coordinator.store.reports(summary.round_id)
        spool = coordinator.directory / "spool" / f"{summary.round_id:06}"
        updates = [np.frombuffer((spool / r.file).read_bytes(), "<f4") for r in reports]
        mean = np.average(updates, axis=0, weights=[r.examples for r in reports])
        np.testing.assert_allclose(after, before + mean, atol=1e-6)


def test_a_device_fetches_the_whole_once_and_differences_from_then_on(tmp_path: Path, fixture_dir: Path) -> None:
    found = fleet(tmp_path, fixture_dir / "tiny.tflite", "float32", "lloyd-2")
    fetched: list[bytes] = []
    for agent in found.agents.values():
        subscribe = agent.link.transport.subscribe

        def watched(*topics: str, subscribe=subscribe, **options: object) -> None:  # type: ignore[no-untyped-def]
            fetched.extend(bytes.fromhex(t.split("/")[4]) for t in topics if "/blob/" in t)
            subscribe(*topics, **options)

        agent.link.transport.subscribe = watched  # type: ignore[method-assign]
    found.run()
    coordinator = found.coordinator
    for version in range(3):
        weights, _ = coordinator.model.versions.load(version)
        whole = make_ref(to_bytes(weights)).hash
        short = [step.delta.blob.hash for step in coordinator.model.downlink.steps(version, weights)[-1:]]
        assert fetched.count(whole) == (3 if version == 0 else 0)
        assert [fetched.count(blob_hash) for blob_hash in short] == ([] if version == 0 else [3])
    assert all(len(list(BlobStore(host_home / "blobs").folder.iterdir())) == 2 for host_home in tmp_path.glob("pi-*"))


def test_a_restart_goes_on_from_what_was_published(tmp_path: Path, fixture_dir: Path) -> None:
    undisturbed = fleet(tmp_path / "one", fixture_dir / "tiny.tflite", "eden-2", "lloyd-2")
    undisturbed.run()
    found = fleet(tmp_path / "two", fixture_dir / "tiny.tflite", "eden-2", "lloyd-2")
    restarts = 0
    for turn in range(20_000):
        found.coordinator.step(0.0)
        for agent in found.agents.values():
            agent.step(0.0)
        if found.coordinator.finished:
            break
        if turn % 7 == 6 and restarts < 6:
            restarts += 1
            found.restart_coordinator()
        found.clock.advance(0.1)
    assert restarts >= 3
    assert found.coordinator.weights.tobytes() == undisturbed.coordinator.weights.tobytes()
    assert found.coordinator.model.exact.tobytes() == undisturbed.coordinator.model.exact.tobytes()
    assert found.coordinator.model.exact.tobytes() != found.coordinator.weights.tobytes()


def test_a_version_that_was_rolled_back_to_starts_clean(tmp_path: Path, fixture_dir: Path) -> None:
    found = fleet(tmp_path, fixture_dir / "tiny.tflite", "float32", "lloyd-2")
    found.run()
    found.coordinator.close()
    found.broker.cut("coordinator")
    Catalog(tmp_path / "run").roll_back(1)
    found.settings = replace(found.settings, rounds=5)
    found.restart_coordinator()
    coordinator = found.coordinator
    assert coordinator.version == 4
    assert (
        coordinator.model.exact.tobytes()
        == coordinator.weights.tobytes()
        == coordinator.model.versions.load(1)[0].tobytes()
    )
    seen = starts(found)
    found.run()
    started_from = [coordinator.model.versions.load(4)[0].tobytes()]
    assert seen == dict.fromkeys(found.hosts, started_from)


def test_settings_may_change_between_rounds(tmp_path: Path, fixture_dir: Path) -> None:
    found = fleet(tmp_path, fixture_dir / "tiny.tflite", "eden-2", "lloyd-2", rounds=1)
    seen = starts(found)
    for rounds, up, down in (
        (1, "eden-2", "lloyd-2"),
        (2, "float16", ""),
        (3, "topk-0.1", "float16"),
        (4, "eden-1", "eden-4"),
    ):
        training = replace(found.settings.training, encoding=up)
        found.settings = replace(found.settings, rounds=rounds, training=training, downlink=down)
        found.coordinator.close()
        found.restart_coordinator()
        found.run()
    versions = [found.coordinator.model.versions.load(v)[0].tobytes() for v in range(5)]
    assert seen == dict.fromkeys(found.hosts, versions[:4])
