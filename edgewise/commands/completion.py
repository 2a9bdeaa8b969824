"""`edgewise completion`: the script that makes a shell complete edgewise's commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

VARIABLE = "_EDGEWISE_COMPLETE"
SHELLS = ("bash", "zsh", "fish")


@click.command(short_help="Print a shell's completion script.")
@click.argument("shell", type=click.Choice(SHELLS))
def command(shell: str) -> None:
    """Print the script that makes SHELL complete commands, options and file names.

    \b
    Example:
      eval "$(edgewise completion bash)"                                         # this shell
      edgewise completion bash > ~/.local/share/bash-completion/completions/edgewise   # all to come
      edgewise completion zsh > "${fpath[1]}/_edgewise"
      edgewise completion fish > ~/.config/fish/completions/edgewise.fish
    """
    from edgewise.cli import cli

    chosen = get_completion_class(shell)
    if chosen is None:
        raise click.ClickException(f"{shell}: this click does not complete for it")
    click.echo(chosen(cli, {}, "edgewise", VARIABLE).source())
