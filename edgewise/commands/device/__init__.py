"""`edgewise device`: everything the owner of a device does. Needs the `device` extra alone.

Each subcommand's module is imported only when it runs: an agent that waits for months carries no keyboard with it.
"""

from __future__ import annotations

import importlib

import click

from edgewise.guessing import GuessingGroup

SUBCOMMANDS = {
    "join": "membership:join",
    "run": "run:run",
    "status": "status:status",
    "add": "examples:add",
    "import": "examples:import_",
    "list": "examples:list_",
    "forget": "examples:forget",
    "encrypt": "encryption:encrypt",
    "pause": "examples:pause",
    "resume": "examples:resume",
    "policy": "policy:policy",
    "history": "show:history",
    "predict": "show:predict",
    "type": "type:type_",
    "install": "service:install",
    "uninstall": "service:uninstall",
}
"""Each subcommand's module here and the name of its command in it, in the order in which an owner meets them."""


class Subcommands(GuessingGroup):
    """A group that imports a subcommand when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of `SUBCOMMANDS`."""
        return list(SUBCOMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a subcommand's module and return its command."""
        if cmd_name not in SUBCOMMANDS:
            return None
        module, name = SUBCOMMANDS[cmd_name].split(":")
        found: click.Command = getattr(importlib.import_module(f"{__name__}.{module}"), name)
        return found


@click.group("device", cls=Subcommands)
def command() -> None:
    """Take part in a fleet from this machine.

    What you type stays here: a round sends an update of the model's weights, never the text.

    \b
    Example:
      edgewise device import my-messages.txt
      edgewise device run --broker mqtt://broker.example --fleet home --device pi-7
    """
