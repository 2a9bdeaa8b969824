"""What all tests share: the tiny models that `python -m edgewise_models.fixtures` makes."""

from __future__ import annotations

import importlib.util
import logging
import subprocess
import sys
from collections.abc import Iterator
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


@pytest.fixture(autouse=True)
def _no_handler_outlives_its_test() -> Iterator[None]:
    """A command that sets up logging writes to its own test's standard error, which is closed in the next."""
    before = logging.root.handlers[:]
    yield
    for handler in logging.root.handlers[:]:
        if type(handler) is logging.StreamHandler and handler not in before:
            logging.root.removeHandler(handler)
