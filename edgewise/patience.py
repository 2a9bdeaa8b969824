"""One line on standard error for work that takes minutes: what is done and, on a terminal, for how long already."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Iterator

import click

TICK_SECONDS = 1.0


@contextlib.contextmanager
def working(words: str) -> Iterator[None]:
    """Say what is being done while the block runs; a terminal sees the seconds go by, a log gets the line once."""
    if not sys.stderr.isatty():
        click.echo(f"{words} …", err=True)
        yield
        return
    done, began = threading.Event(), time.monotonic()

    def count() -> None:
        while not done.wait(TICK_SECONDS):
            click.echo(f"\r{words} … {time.monotonic() - began:.0f} s", err=True, nl=False)

    click.echo(f"{words} …", err=True, nl=False)
    counter = threading.Thread(target=count, name="patience", daemon=True)
    counter.start()
    try:
        yield
    finally:
        done.set()
        counter.join()
        click.echo(err=True)
