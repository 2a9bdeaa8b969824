"""Groups of commands that say what a mistyped command may have meant."""

from __future__ import annotations

import difflib

import click


class GuessingGroup(click.Group):
    """A group that names its commands nearest to one that it does not have."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that is meant. Raises UsageError, with a guess, if there is none."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            raise click.UsageError(error.message + self.hint(ctx, args[0]), ctx) from None

    def hint(self, ctx: click.Context, name: str) -> str:
        """Return what to add to the message that there is no such command."""
        near = difflib.get_close_matches(name, self.list_commands(ctx), 2)
        return f" Did you mean {' or '.join(near)}?" if near else ""
