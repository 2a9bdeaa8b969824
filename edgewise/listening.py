"""Options that say where something listens: a wrong one is told before anything starts."""

from __future__ import annotations

import click


def check_address(context: click.Context, option: click.Parameter, value: str | None) -> str | None:
    """Pass HOST:PORT on: a callback for a `click` option.

    Raises:
        ConfigError: if the value is no address.
    """
    if value is not None:
        from edgewise_coordinator.listen import parse_listen

        parse_listen(value, f"--{option.name}")
    return value
