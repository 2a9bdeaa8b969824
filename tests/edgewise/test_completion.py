"""Shell completion, asked as a shell asks."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

PROBE = "import sys; sys.argv[0] = 'edgewise'; from edgewise.cli import main; main(); "


def complete(words: str) -> list[str]:
    environment = {
        **os.environ, "_EDGEWISE_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" ")),
    }  # fmt: skip
    out = subprocess.run([sys.executable, "-c", PROBE], env=environment, capture_output=True, text=True, check=True)
    return [line.partition(",")[2] for line in out.stdout.splitlines()]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_gets_a_script(shell: str) -> None:
    found = subprocess.run(
        [sys.executable, "-m", "edgewise", "completion", shell], capture_output=True, text=True, check=True
    ).stdout
    assert "_EDGEWISE_COMPLETE" in found
    assert "edgewise" in found


def test_the_script_is_one_that_bash_takes() -> None:
    found = subprocess.run(
        [sys.executable, "-m", "edgewise", "completion", "bash"], capture_output=True, text=True, check=True
    ).stdout
    subprocess.run(["bash", "-n"], input=found, text=True, check=True)


def test_commands_are_completed_without_importing_any() -> None:
    assert complete("edgewise de") == ["demo", "device"]
    assert "coordinate" in complete("edgewise ")


def test_options_are_completed() -> None:
    assert "--dashboard" in complete("edgewise coordinate --dash")
    assert complete("edgewise completion ba") == ["bash"]
