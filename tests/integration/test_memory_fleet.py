"""The main job in memory: what the rounds compute, and what they never say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgewise_coordinator.settings import RoundSettings, Settings, TrainingSettings
from edgewise_edge.trainer import Trainer
from edgewise_wire.artifact import Artifact
from edgewise_wire.codec import decode
from edgewise_wire.messages import Envelope
from edgewise_wire.transport.base import Message
from edgewise_wire.weights import flatten
from memory_fleet import MemoryFleet

SENTENCES = ["see you at me", "we are on to it", "i do not go up", "so it is", "can you see me"]
SECRETS = ["zanzibarquux", "the passphrase is wibblefrotz", "meet me at Ünterwölfchen 17"]


def texts(devices: int) -> dict[str, list[str]]:
    return {f"pi-{n}": [*(SENTENCES * 4)[n : n + 10 + n], f"{SECRETS[n % 3]} {n}"] for n in range(devices)}


def fleet(
    folder: Path, fixture_dir: Path, *, goal: int, rounds: int, devices: int, evaluate_every: int = 0
) -> MemoryFleet:
    settings = Settings(
        "test",
        rounds,
        RoundSettings(goal=goal, over_selection=1.0),
        TrainingSettings(epochs=2, learning_rate=0.5),
        evaluate_every=evaluate_every,
        keep_updates=True,
    )
    return MemoryFleet(folder, fixture_dir / "tiny.tflite", settings, texts(devices))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, fixture_dir: Path) -> MemoryFleet:
    found = fleet(tmp_path_factory.mktemp("fleet"), fixture_dir, goal=3, rounds=3, devices=4, evaluate_every=1)
    found.run()
    return found


def numpy_fedavg(weights: np.ndarray, updates: list[np.ndarray], examples: list[int]) -> np.ndarray:
    """McMahan et al. 2017, Algorithm 1, in float64 and with nothing of edgewise in it."""
    total = sum(examples)
    new = np.zeros(len(weights), np.float64)
    for update, n in zip(updates, examples, strict=True):
        new += (n / total) * (weights.astype(np.float64) + update.astype(np.float64))
    return new


def test_every_round_is_fedavg_over_the_devices_updates(finished: MemoryFleet) -> None:
    coordinator = finished.coordinator
    trained = [r for r in finished.rounds if r.kind == "train"]
    assert [r.phase for r in trained] == ["committed"] * 3
    for summary in trained:
        before, _ = coordinator.model.versions.load(summary.version - 1)
        after, _ = coordinator.model.versions.load(summary.version)
        reports = coordinator.store.reports(summary.round_id)
        spool = coordinator.directory / "spool" / f"{summary.round_id:06}"
        updates = [np.frombuffer((spool / r.file).read_bytes(), "<f4") for r in reports]
        assert len(updates) == 3
        assert all(np.abs(u).max() > 1e-4 for u in updates)
        np.testing.assert_allclose(after, numpy_fedavg(before, updates, [r.examples for r in reports]), atol=1e-6)


def test_a_round_of_one_device_returns_its_own_weights(tmp_path: Path, fixture_dir: Path) -> None:
    found = fleet(tmp_path, fixture_dir, goal=1, rounds=1, devices=1)
    own: list[Trainer] = []
    host = found.hosts["pi-0"]
    original = host.trainer

    def watched(graph: Path, graph_hash: bytes) -> Trainer:
        trainer = original(graph, graph_hash)
        own.append(trainer)
        return trainer

    host.trainer = watched
    found.run()
    local = flatten(own[-1].get_weights(), own[-1].manifest.weights)
    np.testing.assert_allclose(found.coordinator.weights, local, atol=1e-6)


def test_the_model_learns_and_the_trained_file_carries_the_weights(finished: MemoryFleet, tmp_path: Path) -> None:
    measured = [r.metrics for r in finished.rounds if r.kind == "evaluate"]
    assert len(measured) == 4
    assert measured[-1]["loss"] < measured[0]["loss"]
    path = tmp_path / "trained.tflite"
    path.write_bytes(finished.coordinator.model.file())
    trainer = Trainer(path)
    np.testing.assert_array_equal(
        flatten(trainer.get_weights(), trainer.manifest.weights), finished.coordinator.weights
    )
    assert Artifact.load(path).graph_hash == Artifact.load(finished.model).graph_hash


def test_the_graph_is_fetched_once_and_the_weights_each_round(finished: MemoryFleet) -> None:
    assert finished.coordinator.model.offers.graph.hash == finished.coordinator.artifact.graph_hash
    published = [e for e in spied(finished) if type(e.body).__name__ == "BlobChunk"]
    graph = [e for e in published if e.body.hash == finished.coordinator.model.offers.graph.hash]
    assert len({e.body.index for e in graph}) == len(graph)


def spied(found: MemoryFleet) -> list[Envelope]:
    envelopes = []
    while (event := found.spy.poll()) is not None:
        if isinstance(event, Message) and event.payload:
            envelopes.append(decode(event.payload))
    return envelopes


def test_no_message_carries_the_devices_text(tmp_path: Path, fixture_dir: Path) -> None:
    found = fleet(tmp_path, fixture_dir, goal=3, rounds=2, devices=4, evaluate_every=1)
    planted = {word for n in range(3) for word in SECRETS[n].split() if len(word) > 6} | set(SENTENCES[:3])
    payloads: list[bytes] = []
    found.coordinator.step(0.0)
    for _ in range(20_000):
        found.coordinator.step(0.0)
        for agent in found.agents.values():
            agent.step(0.0)
        while (event := found.spy.poll()) is not None:
            if isinstance(event, Message):
                payloads.append(event.payload)
        if found.coordinator.finished:
            break
        found.clock.advance(0.1)
    kinds = {type(decode(p).body).__name__ for p in payloads if p}
    assert {"CheckIn", "UploadRequest", "UploadChunk", "EvaluationReport", "BlobChunk", "Assignment"} <= kinds
    for payload in payloads:
        for words in planted:
            for encoding in ("utf-8", "utf-16-le", "latin-1"):
                assert words.encode(encoding) not in payload
                assert words.lower().encode(encoding) not in payload
