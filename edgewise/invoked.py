"""How this command was started: for messages that name the command to give next."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

NAME = "edgewise"
STARTED_BY = "EDGEWISE_STARTED_BY"
"""The environment variable in which the Makefile says that it started a demo."""


def program() -> str:
    """Return this program as one can type it here: its name if the shell finds it, else where it is."""
    started = Path(sys.argv[0])
    if started.name == "__main__.py":
        return f"{_near(Path(sys.executable))} -m {NAME}"
    if started.stem != NAME:  # called from Python
        return NAME
    found = shutil.which(NAME)
    return NAME if found and Path(found).absolute() == started.absolute() else _near(started)


def same_with(directory: Path) -> str:
    """Return the running command with the options that it was given, and `directory` for its `--dir`."""
    context = click.get_current_context()
    said = {
        option: context.params[option.name]
        for option in context.command.params
        if option.name and context.get_parameter_source(option.name) is ParameterSource.COMMANDLINE
    }
    given = {option.opts[0]: value for option, value in said.items() if option.opts[0] != "--dir"}
    if os.environ.get(STARTED_BY) == "make":
        return shlex.join(["make", str(context.info_name), f"DIR={directory}", *map(_variable, given, given.values())])
    options = [word for name, value in given.items() for word in ((name,) if value is True else (name, str(value)))]
    return f"{program()} {shlex.join([str(context.info_name), '--dir', str(directory), *options])}"


def _variable(name: str, value: Any) -> str:
    return f"{name.lstrip('-').upper()}={1 if value is True else value}"


def _near(path: Path) -> str:
    here = Path.cwd()
    return str(path.absolute().relative_to(here)) if path.absolute().is_relative_to(here) else str(path)
