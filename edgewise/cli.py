"""The `edgewise` command. Each subcommand's module is imported only when it runs, so `edgewise device` stays small."""

from __future__ import annotations

import importlib
import re
import sys
import traceback

import click
from click.shell_completion import CompletionItem

from edgewise.guessing import GuessingGroup
from edgewise_wire.errors import EdgewiseError
from edgewise_wire.user_code import UserCodeError
from edgewise_wire.version import __version__

COMMANDS = {
    "demo": "Watch a model learn on a fleet of devices that never share their text.",
    "export": "Export a trainable model as one .tflite file.",
    "inspect": "Show what is inside a model file.",
    "verify": "Repeat the proof of a model file, without its source.",
    "simulate": "Simulate a fleet on this machine, in virtual time.",
    "report": "Write a simulation's report as one HTML page.",
    "broker": "Run an MQTT broker.",
    "coordinate": "Run rounds over a fleet.",
    "status": "Show what a running coordinator does.",
    "dashboard": "Show a run on a page: live, or afterwards.",
    "privacy": "Plan a run with differential privacy.",
    "vocabulary": "Find the words of a fleet, with differential privacy.",
    "models": "List, show, roll back or export the versions of a model.",
    "fleet": "Make a fleet's certificates; let devices in, shut them out.",
    "device": "Take part in a fleet from this machine.",
    "doctor": "Check this installation and say what to do.",
    "completion": "Print a shell's completion script.",
}
"""Every subcommand with its line of help, in the order in which they are met; the module has the same name."""

ERRNO = re.compile(r"\[Errno \d+\] ")
"""How Python begins what the system said; the number tells people nothing."""


class LazyGroup(GuessingGroup):
    """A group that knows its commands' names and help without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of `COMMANDS`."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command's module and return its `command`."""
        if cmd_name not in COMMANDS:
            return None
        try:
            module = importlib.import_module(f"edgewise.commands.{cmd_name}")
        except ModuleNotFoundError as error:
            if (error.name or "").startswith("edgewise"):
                raise
            raise click.ClickException(
                f"`edgewise {cmd_name}` needs the Python package {error.name!r}: pip install 'edgewise[simulate]'"
            ) from error
        command: click.Command = module.command
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete the commands' names without importing any; options as click does."""
        if incomplete.startswith("-"):
            return click.Command.shell_complete(self, ctx, incomplete)
        return [CompletionItem(name, help=words) for name, words in COMMANDS.items() if name.startswith(incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="edgewise")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.pass_context
def cli(ctx: click.Context, debug: bool) -> None:
    """Federated learning on plain TFLite runtimes over any MQTT broker.

    \b
    Example:
      edgewise demo
    """
    ctx.obj = {"debug": debug}


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and end the process with an honest exit status (2 = something to mend, 1 = it failed)."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        status = cli.main(arguments, prog_name="edgewise", standalone_mode=False)
    except click.exceptions.Exit as done:
        status = done.exit_code
    except click.ClickException as error:
        error.show()
        status = error.exit_code if isinstance(error, click.UsageError) else 2
    except (click.Abort, KeyboardInterrupt):
        click.echo("Stopped.", err=True)
        status = 130
    except EdgewiseError as error:
        if "--debug" in arguments[:1]:
            raise
        if isinstance(error, UserCodeError):
            click.echo("".join(traceback.format_list(error.frames)), err=True, nl=False)
        click.echo(f"edgewise: {ERRNO.sub('', str(error))}", err=True)
        status = error.exit_status
    sys.exit(status if isinstance(status, int) else 0)


if __name__ == "__main__":
    main()
