"""The wheel, installed outside the checkout with one extra, does what that extra promises and brings no TensorFlow."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]


def run(*arguments: str | Path, **options: object) -> str:
    found = subprocess.run([str(a) for a in arguments], check=True, capture_output=True, text=True, **options)  # type: ignore[call-overload]
    return str(found.stdout)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ROOT)
    return next(folder.glob("edgewise-*.whl"))


def installed(folder: Path, wheel: Path, extra: str) -> Path:
    """Return the bin folder of a new environment with the wheel and one extra."""
    run(sys.executable, "-m", "venv", folder)
    run(folder / "bin" / "python", "-m", "pip", "install", "--quiet", f"{wheel}[{extra}]")
    return folder / "bin"


def test_the_device_extra_is_enough_for_a_device(wheel: Path, tmp_path: Path, fixture_dir: Path) -> None:
    programs = installed(tmp_path / "env", wheel, "device")
    packages = {p["name"].lower() for p in json.loads(run(programs / "pip", "list", "--format=json"))}
    assert not packages & {"tensorflow", "keras", "rich", "amqtt", "matplotlib"}
    device = {"cwd": tmp_path, "env": {**os.environ, "EDGEWISE_HOME": str(tmp_path / "home")}}
    for _ in range(6):
        run(programs / "edgewise", "device", "add", "see you at me", **device)
    status = json.loads(run(programs / "edgewise", "device", "status", "--json", **device))
    assert "see you" not in json.dumps(status)
    model = fixture_dir / "tiny.tflite"
    answer = run(programs / "edgewise", "device", "predict", "see you", "--model", model, **device)
    assert answer.strip()
    assert "edgewise device run" in run(programs / "edgewise", "device", "run", "--help", **device)


def test_a_command_whose_extra_is_missing_says_what_to_install(wheel: Path, tmp_path: Path) -> None:
    programs = installed(tmp_path / "env", wheel, "device")
    failed = subprocess.run([programs / "edgewise", "demo"], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert failed.returncode == 2
    assert "pip install 'edgewise[simulate]'" in failed.stderr
    assert "Traceback" not in failed.stderr
