"""`edgewise export` and `edgewise inspect` as a person types them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


def edgewise(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edgewise", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=200)


SMALL = ("--embedding", "4", "--units", "5", "--steps", "3", "--batch", "2")


def test_an_exported_model_can_be_inspected(tmp_path: Path) -> None:
    words, model = tmp_path / "words.txt", tmp_path / "model.tflite"
    words.write_text("see\nyou\nsoon\nthere\n")
    done = edgewise("export", "next-word", "--out", model, "--vocabulary", words, "--vocabulary-size", "7", *SMALL)
    assert (done.returncode, done.stderr) == (0, "Exporting and proving against TensorFlow …\n")
    assert "Wrote" in done.stdout
    assert "Proved over 5 steps" in done.stdout
    found = json.loads(edgewise("inspect", model, "--json").stdout)
    assert found["parameters"] == 7 * 4 + 7 + 8 * 15 + 15 + 5 * 4
    assert (found["flex"], found["custom"], found["vocabulary"]) == (False, [], 3)
    assert (found["batch"], found["steps"]) == (2, 3)
    assert found["signatures"]["train"]["inputs"]["learning_rate"] == "float32[]"
    text = edgewise("inspect", model).stdout
    assert "none is Flex" in text
    assert found["graph_hash"] in text


@pytest.mark.parametrize(
    ("content", "arguments", "message"),
    [
        ("see\nyou\nsee\n", (), "line 3: 'see' stands on line 1 already"),
        ("", (), "the vocabulary is empty"),
        ("see\nyou\nsoon\n", ("--vocabulary-size", "10"), "3 words, but a vocabulary of 10 needs 6"),
        ("see\nyou\nsoon\n", ("--units", "0"), "units: expected 1 or more, got 0"),
    ],
)
def test_a_wrong_input_ends_with_one_line_and_status_2(
    tmp_path: Path, content: str, arguments: tuple[str, ...], message: str
) -> None:
    (tmp_path / "words.txt").write_text(content)
    model = tmp_path / "model.tflite"
    done = edgewise("export", "next-word", "--out", model, "--vocabulary", tmp_path / "words.txt", *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not model.exists()


def test_inspecting_what_is_no_model_ends_with_one_line_and_status_2(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no model")
    done = edgewise("inspect", tmp_path / "notes.txt")
    assert done.returncode == 2
    assert "not a TFLite file" in done.stderr
    assert len(done.stderr.splitlines()) == 1
