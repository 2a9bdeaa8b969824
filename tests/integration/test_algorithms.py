"""Server algorithms with the real coordinator, real agents and the real (tiny) model, in memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgewise_coordinator.aggregators.krum import krum
from edgewise_coordinator.aggregators.median import median
from edgewise_coordinator.algorithms.fedadam import fedadam
from edgewise_coordinator.algorithms.fedavg import fedavg
from edgewise_coordinator.algorithms.fedprox import fedprox
from edgewise_coordinator.algorithms.scaffold import scaffold
from edgewise_coordinator.selection.fair import fair
from edgewise_coordinator.settings import BufferSettings, RoundSettings, Settings, TrainingSettings
from edgewise_edge.local_training import device_generator
from edgewise_edge.trainer import Trainer
from edgewise_wire.messages import Kind
from edgewise_wire.weights import flatten, unflatten
from memory_fleet import MemoryFleet

SENTENCES = ["see you at me", "we are on to it", "i do not go up", "so it is", "can you see me"]
ETA, EPOCHS = 0.5, 2

Make = Callable[..., MemoryFleet]


@pytest.fixture
def fleet(tmp_path: Path, fixture_dir: Path) -> Make:
    def make(
        name: str, *, devices: int = 3, goal: int = 3, rounds: int = 2, evaluate_every: int = 0,
        buffer: BufferSettings | None = None, same_size: bool = False, **options: Any,
    ) -> MemoryFleet:  # fmt: skip
        cohort = RoundSettings(goal=goal, over_selection=1.0)
        training = TrainingSettings(epochs=EPOCHS, learning_rate=ETA)
        settings = Settings(
            "test", rounds, cohort, training, evaluate_every=evaluate_every, keep_updates=True, buffer=buffer
        )
        texts = {f"pi-{n}": (SENTENCES * 4)[n : n + (12 if same_size else 9 + 2 * n)] for n in range(devices)}
        return MemoryFleet(tmp_path / name, fixture_dir / "tiny.tflite", settings, texts, options=options)

    return make


def ran(found: MemoryFleet) -> MemoryFleet:
    found.run()
    assert found.coordinator.complete
    return found


def test_fedprox_without_mu_is_fedavg_bit_for_bit(fleet: Make) -> None:
    plain, prox = (ran(fleet(a.name, algorithm=a)) for a in (fedavg(), fedprox(0.0)))
    assert plain.coordinator.weights.tobytes() == prox.coordinator.weights.tobytes()


def test_the_stronger_mu_the_closer_the_model_stays(fleet: Make) -> None:
    moved = []
    for mu in (0.0, 0.1, 1.0):
        found = ran(fleet(f"mu-{mu}", rounds=1, algorithm=fedprox(mu)))
        first, last = (found.coordinator.model.versions.load(v)[0] for v in (0, 1))
        moved.append(float(np.linalg.norm(last - first)))
    assert moved == sorted(moved, reverse=True)
    assert moved[2] < 0.8 * moved[0]


def test_scaffolds_first_round_is_fedavgs(fleet: Make) -> None:
    """With c = cᵢ = 0 nothing is corrected; both means are the same when devices hold as much."""
    plain = ran(fleet("plain", rounds=1, same_size=True, algorithm=fedavg()))
    corrected = ran(fleet("scaffold", rounds=1, same_size=True, algorithm=scaffold(3)))
    np.testing.assert_allclose(corrected.coordinator.weights, plain.coordinator.weights, atol=2e-6)
    assert np.abs(corrected.coordinator.model.state["control"]).max() > 1e-3


def gradient(trainer: Trainer, weights: np.ndarray, batch: Any, seed: int) -> np.ndarray:
    """Return the model's gradient, by plain `train` with a learning rate of 1."""
    specs = trainer.manifest.weights
    trainer.set_weights(unflatten(weights.astype("f4"), specs))
    trainer.train_step(batch, 1.0, seed=seed)
    return weights - flatten(trainer.get_weights(), specs).astype("f8")


def test_scaffold_is_its_paper_over_rounds_with_a_part_of_the_fleet(fleet: Make, fixture_dir: Path) -> None:
    """Algorithm 1 with option II, written out over plain gradients of the real model; no correction is asked of it."""
    found = ran(fleet("scaffold", devices=4, goal=2, rounds=4, algorithm=scaffold(4), selection=fair))
    coordinator, trainer = found.coordinator, Trainer(fixture_dir / "tiny.tflite")
    x = coordinator.model.versions.load(0)[0].astype("f8")
    c, own = np.zeros_like(x), {device: np.zeros_like(x) for device in found.agents}
    for row in coordinator.store.versions()[1:]:
        cohort = [r.device for r in coordinator.store.reports(row.round_id)]
        assert len(cohort) == 2
        delta_y, delta_c = [], []
        for device in cohort:
            examples = found.hosts[device].examples(trainer.manifest, Kind.TRAIN)
            rng = device_generator(0, row.round_id, device)
            y, steps = x.copy(), 0
            chosen = rng.permutation(len(examples))
            for epoch in range(EPOCHS):
                order = chosen if epoch == 0 else rng.permutation(chosen)
                for batch in examples.batches(order):
                    g = gradient(trainer, y, batch, int(rng.integers(1 << 31)))
                    y, steps = y - ETA * (g - own[device] + c), steps + 1
            fresh = own[device] - c + (x - y) / (steps * ETA)
            delta_y.append(y - x)
            delta_c.append(fresh - own[device])
            own[device] = fresh
        x, c = x + np.mean(delta_y, 0), c + 2 / 4 * np.mean(delta_c, 0)
        weights, state = coordinator.model.versions.load(row.version)
        np.testing.assert_allclose(weights, x, atol=1e-4)
        np.testing.assert_allclose(state["control"], c, atol=1e-4)
    np.testing.assert_allclose(coordinator.model.state["control"], np.mean(list(own.values()), 0), atol=1e-4)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("median", {"aggregator": median()}),
        ("krum", {"aggregator": krum(0, keep=2)}),
        ("adam", {"algorithm": fedadam(0.05, adaptivity=1e-2)}),
        ("buffer", {"buffer": BufferSettings(3), "goal": 2}),
    ],
)
def test_the_model_learns_with_all_of_them(fleet: Make, name: str, options: dict[str, Any]) -> None:
    found = ran(fleet(name, rounds=4, evaluate_every=1, **options))
    losses = [r.metrics["loss"] for r in found.rounds if r.kind == "evaluate"]
    assert len(losses) == 5
    assert losses[-1] < 0.98 * losses[0]
