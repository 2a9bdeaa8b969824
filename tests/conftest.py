"""What all tests share: the tiny models that `python -m edgewise_models.fixtures` makes."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

pytest_plugins = ["tests.support.broker_fixtures"]

ROOT = Path(__file__).parents[1]
COMMAND = ".venv/bin/python -m edgewise_models.fixtures build/fixtures"


@pytest.fixture(scope="session")
def fixture_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with `tiny.tflite` and `tiny.npz`; made here if TensorFlow is at hand."""
    built = ROOT / "build" / "fixtures"
    if (built / "tiny.npz").exists():
        return built
    if importlib.util.find_spec("tensorflow") is None:
        pytest.skip(f"no models to test with: make them with `{COMMAND}`")
    folder = tmp_path_factory.mktemp("fixtures")
    subprocess.run([sys.executable, "-m", "edgewise_models.fixtures", str(folder)], check=True)
    return folder
