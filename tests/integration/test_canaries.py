"""A canary in one device's text is exposed by a model that was trained without privacy, and not by one with it."""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from canaries import Canary, draw, exposure
from edgewise_coordinator.algorithms.fedavg import fedavg
from edgewise_coordinator.privacy import rounds
from edgewise_coordinator.privacy.clipping import flat
from edgewise_coordinator.privacy.mechanisms.gaussian import gaussian
from edgewise_coordinator.privacy.settings import PrivacySettings
from edgewise_coordinator.settings import RoundSettings, Settings, TrainingSettings
from edgewise_edge.trainer import Trainer
from memory_fleet import MemoryFleet

SENTENCES = ["see you at me", "we are on to it", "i do not go up", "so it is", "can you see me"]
SPACE = ("the", "to", "you", "a", "i", "and", "see", "at", "me", "it", "is", "in", "on", "my", "are", "we", "for", "be")
DEVICES, COPIES, ROUNDS = 4, 16, 6
EXPOSED, HIDDEN = 5.0, 3.5  # bits of 8.3, on average; one canary of a model that never saw it has 1.4


def trained(folder: Path, model: Path, canaries: list[Canary], promise: PrivacySettings | None) -> Trainer:
    texts = {f"pi-{n}": SENTENCES * 4 for n in range(DEVICES)}
    texts["pi-0"] = [c.text for c in canaries for _ in range(COPIES)]
    settings = Settings(
        "test", ROUNDS, RoundSettings(goal=DEVICES, over_selection=1.0), TrainingSettings(8, 1.0), evaluate_every=0
    )
    uniform = fedavg()._replace(client=replace(fedavg().client, uniform=True))
    fleet = MemoryFleet(folder, model, settings, texts, options={"algorithm": uniform, "privacy": promise})
    fleet.run()
    return Trainer(fleet.coordinator.model.file())


@pytest.fixture(scope="module")
def canaries() -> list[Canary]:
    rng = np.random.default_rng(7)
    return [draw(beginning, SPACE, 2, rng) for beginning in ("my", "of the", "in no")]


def exposures(trainer: Trainer, canaries: list[Canary]) -> list[float]:
    return [exposure(trainer, canary, 10_000, np.random.default_rng(0)) for canary in canaries]


def test_without_privacy_the_canaries_are_exposed(tmp_path: Path, fixture_dir: Path, canaries: list[Canary]) -> None:
    found = exposures(trained(tmp_path, fixture_dir / "tiny.tflite", canaries, None), canaries)
    assert np.mean(found) > EXPOSED, found


def test_with_privacy_they_are_not(
    tmp_path: Path, fixture_dir: Path, canaries: list[Canary], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The noise has fixed keys: chance alone lifts the mean of three canaries over the limit once in forty runs."""
    drawn = itertools.count()
    monkeypatch.setattr(rounds, "fresh_key", lambda: hashlib.sha256(b"canaries %d" % next(drawn)).digest())
    promise = PrivacySettings(gaussian(), flat(2.0), 2.0, delta=1e-3)
    found = exposures(trained(tmp_path, fixture_dir / "tiny.tflite", canaries, promise), canaries)
    assert next(drawn) == ROUNDS
    assert np.mean(found) < HIDDEN, found
