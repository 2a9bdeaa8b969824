"""`edgewise device policy`: the rules that the owner sets and no coordinator overrides."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from edgewise.commands.device.options import existing, home_option, json_option, print_json
from edgewise.guessing import GuessingGroup
from edgewise_edge.home import Home
from edgewise_edge.policy import WORDS, Policy, changed, load_policy, save_policy


@click.group("policy", cls=GuessingGroup, invoke_without_command=True)
@click.pass_context
def policy(context: click.Context) -> None:
    """Show or set what this device's owner allows; a running agent heeds a change at once.

    \b
    Example:
      edgewise device policy set hours 22:00-06:00
    """
    if context.invoked_subcommand is None:
        context.invoke(show)


@policy.command("show")
@json_option
@home_option
def show(as_json: bool, home: Path) -> None:
    """Show every rule, its value and what it is for.

    \b
    Example:
      edgewise device policy show
    """
    found = load_policy(existing(home).policy)
    if as_json:
        print_json(asdict(found))
        return
    for name, words in WORDS.items():
        click.echo(f"{name:<27}{_words(getattr(found, name)):<14}{words}")


@policy.command("set")
@click.argument("key")
@click.argument("value")
@home_option
def set_(key: str, value: str, home: Path) -> None:
    """Set one rule; `default` sets it back.

    \b
    Example:
      edgewise device policy set on_battery yes
    """
    path = Home(home).policy
    known = key in WORDS and value == "default"
    new = changed(load_policy(path), key, _words(getattr(Policy(), key)) if known else value)
    save_policy(path, new)
    click.echo(f"{key} is {_words(getattr(new, key)) or 'not set'}: {WORDS[key]}.")


def _words(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)
