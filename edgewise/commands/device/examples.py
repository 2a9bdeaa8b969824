"""`edgewise device add|import|list|pause|resume|forget`: the owner's examples."""

from __future__ import annotations

import datetime
import re
import sys
import time
from pathlib import Path

import click

from edgewise.commands.device.options import counted, home_option, json_option, moment, open_store, print_json
from edgewise_edge.control import forget_controls
from edgewise_edge.home import Home
from edgewise_edge.personal import Personal
from edgewise_wire.errors import ConfigError, DataError

DAY = 86400.0


@click.command("add")
@click.argument("texts", nargs=-1, metavar="TEXT...")
@click.option("--held-out/--train", "held_out", default=None, help="Only measure with it, or only train with it.")
@home_option
def add(texts: tuple[str, ...], held_out: bool | None, home: Path) -> None:
    """Add texts as examples; `-` reads one a line from standard input.

    Every fifth example is held out: it measures the model and is never trained on.

    \b
    Example:
      edgewise device add "see you at seven" "running late, sorry"
      edgewise device add '{"features": [5.1, 3.5, 1.4, 0.2], "labels": 0}'
    """
    if not texts:
        raise ConfigError('device add: nothing to add; give a text, as in edgewise device add "see you at seven"')
    lines: list[str] = []
    for text in texts:
        lines += [line for line in sys.stdin.read().splitlines() if line.strip()] if text == "-" else [text]
    with open_store(home) as store:
        store.add_many(lines, held_out=held_out)
        total = store.count()
    click.echo(f"Added {counted(len(lines), 'example')}; {total} in all.")


@click.command("import")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--person", help="Whose messages to take, where there are several people's.")
@home_option
def import_(path: Path, person: str | None, home: Path) -> None:
    """Add one person's messages from a file or folder.

    `-` reads standard input. Takes plain text, JSON lines, a WhatsApp export, LEAF's JSON and the NUS SMS corpus; a zip
    is opened. For a model that reads no text it takes a .npz (numpy.savez) of arrays by the names of the model's
    inputs and labels, a row an example.

    \b
    Example:
      edgewise device import chat.txt --person Anna
      edgewise device import measured.npz
    """
    if path.suffix.lower() == ".npz":
        _import_records(path, person, home)
        return
    from edgewise_edge.readers import read_people
    from edgewise_edge.readers.people import read_stream

    people = read_stream(sys.stdin.buffer) if str(path) == "-" else read_people(path)
    if person is None and len(people) > 1:
        raise ConfigError(f"{path}: messages of {len(people)} people; choose one with --person: {_some(people)}")
    name = next(iter(people)) if person is None else _find(people, person)
    if name is None:
        raise DataError(f"{path}: nobody called {person!r}; there are {_some(people)}")
    with open_store(home) as store:
        before = store.count()
        added = len(store.add_missing(people[name]))
        total = store.count()
    known = "" if added == len(people[name]) else f", {len(people[name]) - added} of them already here"
    click.echo(
        f"Read {counted(len(people[name]), 'message')} of {name}{known}; {total} examples in all ({before} before)."
    )


def _import_records(path: Path, person: str | None, home: Path) -> None:
    from edgewise_edge.records import read_records

    if person is not None:
        raise ConfigError(f"{path}: a .npz holds one device's examples; leave out --person")
    records = read_records(path)
    with open_store(home) as store:
        added = len(store.add_missing(records))
        total = store.count()
    known = "" if added == len(records) else f", {len(records) - added} of them already here"
    click.echo(f"Read {counted(len(records), 'record')}{known}; {total} examples in all.")


def _find(people: dict[str, list[str]], person: str) -> str | None:
    """Return the device name of a person who is named as in the file, or as a device, in any case."""
    from edgewise_edge.readers.people import device_names

    wanted = {person.casefold(), device_names([person])[person].casefold()}
    return next((name for name in people if name.casefold() in wanted), None)


def _some(people: dict[str, list[str]], most: int = 8) -> str:
    names = ", ".join(list(people)[:most])
    return f"{names}, …" if len(people) > most else names


@click.command("list")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="The latest so many.")
@json_option
@home_option
def list_(limit: int, as_json: bool, home: Path) -> None:
    """List the latest examples.

    \b
    Example:
      edgewise device list --limit 5
    """
    with open_store(home) as store:
        found, total = store.list(limit=limit), store.count()
    if as_json:
        rows = [{"id": one.id, "text": one.text, "held_out": one.held_out, "at": one.at} for one in found]
        print_json({"examples": rows, "count": total})
        return
    for one in found:
        click.echo(f"{one.id:>6}  {moment(one.at)}  {'held out' if one.held_out else 'train   '}  {one.text}")
    click.echo(f"{counted(total, 'example')} in all." if total else 'No examples yet: edgewise device add "…"')


@click.command("pause")
@home_option
def pause(home: Path) -> None:
    """Stop at once: no training, no sending, no new examples, until `resume`.

    \b
    Example:
      edgewise device pause
    """
    Home(home).paused.touch()
    with open_store(home) as store:
        store.paused = True
    click.echo("Paused. A running agent stops within one batch; edgewise device resume ends the pause.")


@click.command("resume")
@home_option
def resume(home: Path) -> None:
    """End a pause.

    \b
    Example:
      edgewise device resume
    """
    Home(home).paused.unlink(missing_ok=True)
    with open_store(home) as store:
        store.paused = False
    click.echo("Resumed. A running agent offers itself again within about a minute.")


@click.command("forget")
@click.option("--id", "one", type=click.IntRange(1), help="The example with this number (see `list`).")
@click.option("--before", metavar="WHEN", help="Those written before a day (2026-01-31) or an age (30d, 12h).")
@click.option("--all", "everything", is_flag=True, help="All of them.")
@home_option
def forget(one: int | None, before: str | None, everything: bool, home: Path) -> None:
    """Delete examples; their bytes are overwritten in the file.

    \b
    Example:
      edgewise device forget --before 30d
    """
    if (one is not None) + (before is not None) + everything != 1:
        raise ConfigError("device forget: say which examples: exactly one of --id, --before and --all")
    limit = None if before is None else _when(before)
    with open_store(home) as store:
        gone = store.forget(one=one, before=limit, everything=everything)
        left = store.count()
    if gone:
        forget_controls(Home(home))  # they are means of gradients, of forgotten examples too
        Personal(Home(home)).forget()
    if one is not None and not gone:
        raise ConfigError(f"device forget: there is no example {one}; edgewise device list shows their numbers")
    click.echo(f"Forgot {counted(gone, 'example')}; {left} left.")


def _when(text: str) -> float:
    """Return a day or an age as seconds since the epoch."""
    age = re.fullmatch(r"(\d{1,6})([dh])", text)
    if age:
        return time.time() - int(age[1]) * (DAY if age[2] == "d" else DAY / 24)
    try:
        return datetime.datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError):
        raise ConfigError(
            f"--before {text!r}: expected a day such as 2026-01-31 or an age such as 30d or 12h"
        ) from None
