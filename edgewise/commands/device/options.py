"""What all `edgewise device` commands share: where the device's folder is, and JSON for scripts."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from edgewise_edge.home import ENVIRONMENT, Home, default_home
from edgewise_edge.own import Own
from edgewise_edge.store import ExampleStore
from edgewise_wire.errors import ConfigError

Command = TypeVar("Command", bound=Callable[..., Any])


def home_option(function: Command) -> Command:
    """Add `--home`."""
    return click.option(
        "--home",
        type=click.Path(file_okay=False, path_type=Path),
        default=default_home,
        show_default="~/.local/share/edgewise",
        envvar=ENVIRONMENT,
        help="The device's folder.",
    )(function)


def existing(home: Path) -> Home:
    """Return a device's folder for a command that only looks: one that was named and is not there is no device.

    Raises:
        ConfigError: if there is no such folder.
    """
    if not home.expanduser().exists() and home != default_home():
        raise ConfigError(
            f"--home {home}: there is no such folder; `edgewise device import`, `join` and `run` make a device's"
        )
    return Home(home)


def json_option(function: Command) -> Command:
    """Add `--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")(function)


def open_store(home: Path) -> ExampleStore:
    """Return the device's examples."""
    return Own(Home(home)).store()


def print_json(value: Mapping[str, Any]) -> None:
    """Print one JSON object on one line."""
    click.echo(json.dumps(value, ensure_ascii=False))


def moment(seconds: float | None) -> str:
    """Return seconds since the epoch as local time for people."""
    if seconds is None:
        return "-"
    return datetime.datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M:%S")


def counted(count: int, noun: str) -> str:
    """Return `1 example`, `2 examples`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
