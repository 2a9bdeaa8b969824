"""`edgewise device encrypt`: the owner's examples, unreadable without a key."""

from __future__ import annotations

from pathlib import Path

import click

from edgewise.commands.device.options import counted, home_option, open_store
from edgewise_edge.home import Home
from edgewise_wire.errors import ConfigError


@click.command("encrypt")
@click.option("--key", type=click.Path(dir_okay=False, path_type=Path), help="The key's file; made if it is not there.")
@click.option("--off", is_flag=True, help="Write the examples in plain again; the key's file stays.")
@home_option
def encrypt(key: Path | None, off: bool, home: Path) -> None:
    """Encrypt the examples: those that are here, and every one from now on.

    What was learned from them and stays here (personal weights, what compression left unsaid) is encrypted with them.
    Without the key they cannot be read by anyone, this device included: keep a copy. On the same disk it guards against
    copies of the examples alone; on a stick that is taken away (--key) against whoever takes the disk too.

    \b
    Example:
      edgewise device encrypt
      edgewise device encrypt --key /media/stick/pi-7.key
    """
    if off and key is not None:
        raise ConfigError("device encrypt: --off needs no --key; the store knows where its key is")
    from edgewise_edge.learned import Learned

    with open_store(home) as store:
        if off:
            Learned(Home(home)).unseal()
            click.echo(f"{counted(store.decrypt(), 'example')} in plain again.")
            return
        where = key or Home(home).key
        count = store.encrypt(where)
        Learned(Home(home)).settle()
        click.echo(f"{counted(count, 'example')} encrypted with the key {where.absolute()}; keep a copy of it.")
