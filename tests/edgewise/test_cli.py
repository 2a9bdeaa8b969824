"""The command: help without imports, small import budgets, honest exit statuses."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import pytest

from edgewise.cli import COMMANDS, cli, main


def loaded_by(code: str) -> set[str]:
    """Return the top-level modules that a fresh interpreter has after running `code`."""
    program = f"{code}\nimport sys\nprint(*sorted({{m.split('.')[0] for m in sys.modules}}))"
    found = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    return set(found.stdout.splitlines()[-1].split())


HEAVY = {"tensorflow", "keras", "matplotlib", "amqtt"}


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("import edgewise_coordinator.server", HEAVY | {"edgewise_edge", "ai_edge_litert", "rich", "click"}),
        ("import edgewise_edge.agent", HEAVY | {"edgewise_coordinator", "ai_edge_litert", "rich", "click"}),
        ("import edgewise.cli", HEAVY | {"numpy", "paho", "rich", "edgewise_edge"}),
        ("import edgewise.commands.coordinate", HEAVY | {"edgewise_edge", "ai_edge_litert"}),
        ("import edgewise.commands.device", HEAVY | {"edgewise_coordinator", "ai_edge_litert", "rich"}),
    ],
)
def test_nothing_heavy_is_imported_before_it_is_needed(code: str, absent: set[str]) -> None:
    assert not loaded_by(code) & absent


def test_help_lists_every_command_without_importing_any(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    out = capsys.readouterr().out
    assert all(name in out for name in COMMANDS)


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_has_help_with_an_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    out = capsys.readouterr().out
    assert "Usage: edgewise " + name in out
    assert f"edgewise {name}" in out.split("Usage:")[1].split("\n", 1)[1]


def leaves(name: str) -> list[tuple[str, ...]]:
    context = click.Context(cli)
    found = cli.get_command(context, name)
    return [(name, sub) for sub in found.list_commands(context)] if isinstance(found, click.Group) else []


@pytest.mark.parametrize("words", [words for name in COMMANDS for words in leaves(name)], ids=" ".join)
def test_every_command_of_a_command_has_help_with_an_example(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([*words, "--help"])
    assert f"edgewise {' '.join(words)}" in capsys.readouterr().out.split("Usage:")[1].split("\n", 1)[1]


def test_an_unknown_command_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["dance"])
    assert ended.value.code == 2
    assert "No such command" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["simulat"], "Did you mean simulate?"),
        (["device", "histroy"], "Did you mean history?"),
        (["fleet", "enrol"], "Did you mean enroll?"),
        (["export", "twoin"], "A model of your own is MODULE:FACTORY, such as twoin:build."),
    ],
)
def test_a_mistyped_command_is_guessed(words: list[str], hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(words)
    assert hint in capsys.readouterr().err


def test_what_the_system_said_is_told_without_its_number(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["status", "--dir"], ["fleet", "list", "--dir"], ["inspect"]):
        with pytest.raises(SystemExit):
            main([*words, str(tmp_path / "nothere")])
        told = capsys.readouterr().err
        assert "nothere" in told
        assert "Errno" not in told
