"""A coordinator in memory with devices that follow a script."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from coordinator_scene import Scene
from edgewise_coordinator.settings import RoundSettings, Settings, TrainingSettings, UploadSettings

COORDINATOR = ("algorithm", "aggregator", "transform", "selection", "collect", "pace", "buffer")
"""What of the fixture's arguments goes to the coordinator and not to the round's settings."""


@pytest.fixture
def scene(tmp_path: Path) -> Callable[..., Scene]:
    def make(goal: int = 3, rounds: int = 2, evaluate_every: int = 0, **round_settings: Any) -> Scene:
        options = {name: round_settings.pop(name) for name in COORDINATOR if name in round_settings}
        uploads = round_settings.pop("uploads", UploadSettings())
        cohort = RoundSettings(goal=goal, **round_settings)
        settings = Settings(
            "test",
            rounds,
            cohort,
            TrainingSettings(learning_rate=0.1),
            uploads,
            evaluate_every=evaluate_every,
            keep_updates=True,
        )
        return Scene(tmp_path / "run", settings, options=options)

    return make
