"""What can be proved about a file without its source, and an author's own factory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from edgewise.cli import cli
from edgewise_models.factory import call_factory
from edgewise_models.verification import verify
from edgewise_wire.artifact import Artifact
from edgewise_wire.errors import ConfigError, ModelError
from edgewise_wire.user_code import UserCodeError

FACTORY = """
import keras
from keras import layers

def build():
    return keras.Sequential([keras.Input((4,), name="x"), layers.Dense(3, "relu"), layers.Dense(2, "softmax")])

def whole():
    return {"model": build(), "loss": "sparse_categorical_crossentropy", "batch": 4, "optimizer": "adam"}

def broken():
    return {"loss": "mse"}

FACTS = {}

def raises():
    raise ValueError("three")
"""


@pytest.fixture
def author(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an author's module, as the current one."""
    (tmp_path / "authors_model.py").write_text(FACTORY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    sys.modules.pop("authors_model", None)
    return tmp_path


def test_a_sound_file_is_verified_line_by_line(fixture_dir: Path) -> None:
    said = list(verify(fixture_dir / "tiny.tflite"))
    assert any("move every weight" in line for line in said)
    assert any("built-in operators only" in line for line in said)


def test_a_file_whose_weights_are_not_numbers_is_refused(fixture_dir: Path) -> None:
    artifact = Artifact.load(fixture_dir / "tiny.tflite")
    data = bytearray(artifact.data)
    span = artifact.file.buffers[artifact.manifest.buffers[0]]
    data[span.start : span.start + 4] = np.float32(np.nan).tobytes()
    with pytest.raises(ModelError, match=r"differs by|not finite"):
        list(verify(bytes(data)))


def test_verify_needs_no_tensorflow() -> None:
    code = "import sys, edgewise_models.verification; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_authors_factory_is_exported_and_verified_from_the_command_line(author: Path) -> None:
    runner = CliRunner()
    done = runner.invoke(cli, ["export", "authors_model:whole", "--out", "model.tflite", "--metric", "accuracy"])
    assert done.exit_code == 0, done.output
    assert "Proved over 4 steps" in done.output
    assert done.stderr.splitlines()[0] == "Exporting and proving against TensorFlow …"  # it takes long enough to ask
    assert Artifact.load(author / "model.tflite").manifest.metrics == ("accuracy",)
    checked = runner.invoke(cli, ["verify", "model.tflite"])
    assert checked.exit_code == 0, checked.output
    assert checked.output.splitlines()[-1] == "model.tflite: verified"


@pytest.mark.parametrize(
    ("name", "error", "said"),
    [
        ("nothing", ConfigError, "expected module:function"),
        ("no_such_module:build", ConfigError, "no module 'no_such_module' in this folder"),
        ("authors_model:nothing", ConfigError, "has no 'nothing'"),
        ("authors_model:FACTS", ConfigError, "expected a function, got dict"),
        ("authors_model:raises", UserCodeError, r"raised ValueError at authors_model.py:\d+ \(three\)"),
        ("authors_model:broken", ModelError, "expected a mapping with 'model'"),
    ],
)
def test_a_factory_that_cannot_be_called_is_named(author: Path, name: str, error: type, said: str) -> None:
    with pytest.raises(error, match=said):
        call_factory(name)


def test_a_factory_without_a_loss_says_what_to_pass(author: Path) -> None:
    done = CliRunner().invoke(cli, ["export", "authors_model:build", "--out", "model.tflite"])
    assert done.exit_code != 0
    assert "names no loss: pass --loss" in str(done.exception)
