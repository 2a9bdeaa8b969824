"""What the tests of models share."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def proved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files and rehearsals that the other runtime is asked about in one go, at the end of a file of tests."""
    return tmp_path_factory.mktemp("proved")


@pytest.fixture(autouse=True)
def _seeded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EDGEWISE_OTHER_PYTHON", raising=False)
    if (keras := sys.modules.get("keras")) is not None:
        keras.utils.set_random_seed(3)
