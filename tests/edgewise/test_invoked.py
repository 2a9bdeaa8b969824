"""The command that a message tells one to give next is one that can be given."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from edgewise.commands.demo import command
from edgewise.invoked import STARTED_BY, program, same_with


def said(arguments: list[str]) -> str:
    with command.make_context("demo", list(arguments)):
        return same_with(Path("runs/1"))


def test_a_stopped_demo_names_the_same_command_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(sys, "argv", [".venv/bin/edgewise"])
    asked = ["--data", "my chat.txt", "--rounds", "3", "--full", "--dir", "runs/0"]
    assert said(asked) == ".venv/bin/edgewise demo --dir runs/1 --data 'my chat.txt' --rounds 3 --full"
    monkeypatch.setenv(STARTED_BY, "make")
    assert said(asked) == "make demo DIR=runs/1 'DATA=my chat.txt' ROUNDS=3 FULL=1"
    assert said([]) == "make demo DIR=runs/1"


def test_a_program_that_the_shell_finds_is_named_shortly(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = tmp_path / "edgewise"
    found.touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "argv", [str(found)])
    assert program() == "edgewise"
    monkeypatch.setenv("PATH", "/nowhere")
    assert program() == str(found)
    monkeypatch.setattr(sys, "argv", ["/usr/lib/python3/edgewise/__main__.py"])
    assert program().endswith(" -m edgewise")
