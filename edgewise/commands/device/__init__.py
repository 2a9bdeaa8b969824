"""`edgewise device`: everything the owner of a device does. Needs the `device` extra alone."""

from __future__ import annotations

import click

from edgewise.commands.device.examples import add, forget, import_, list_, pause, resume
from edgewise.commands.device.membership import join
from edgewise.commands.device.policy import policy
from edgewise.commands.device.run import run
from edgewise.commands.device.service import install, uninstall
from edgewise.commands.device.show import history, predict
from edgewise.commands.device.status import status
from edgewise.commands.device.type import type_


@click.group("device")
def command() -> None:
    """Take part in a fleet from this machine.

    What you type stays here: a round sends an update of the model's weights, never the text.

    \b
    Example:
      edgewise device import my-messages.txt
      edgewise device run --broker mqtt://broker.example --fleet home --device pi-7
    """


for _subcommand in (
    run,
    add,
    import_,
    predict,
    type_,
    status,
    list_,
    pause,
    resume,
    forget,
    history,
    policy,
    install,
    uninstall,
):
    command.add_command(_subcommand)
command.add_command(join)
