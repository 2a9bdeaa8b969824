"""`--personal`: the owner's own fine-tuning, brought up to date before it is used."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click
import numpy as np

from edgewise.commands.device.options import counted
from edgewise_edge.host import DeviceHost
from edgewise_edge.own import Own
from edgewise_edge.personal import Note, Personal
from edgewise_edge.predict import open_latest
from edgewise_wire.messages import Kind

Command = TypeVar("Command", bound=Callable[..., Any])


def personal_option(function: Command) -> Command:
    """Add `--personal`."""
    words = "Fine-tune the latest model on your own examples first, where that is due. It stays on this device."
    return click.option("--personal", is_flag=True, help=words)(function)


def tune_if_needed(own: Own, threads: int) -> None:
    """Fine-tune if the model or the examples have changed since the last time; tell what came of it."""
    latest, trainer, weights = open_latest(own.home, threads=threads)
    personal = Personal(own.home)
    with own.store() as store:
        host = DeviceHost(own.home, store)
        train, held_out = (host.examples(trainer.manifest, kind) for kind in (Kind.TRAIN, Kind.EVALUATE))
    if personal.is_fresh(latest, len(train)):
        return
    click.echo(f"Fine-tuning on {counted(len(train), 'example')} of yours …", err=True)
    rng = np.random.default_rng(0)  # drives the order of the examples only
    click.echo(sentence(personal.tune(latest, trainer, weights, train, held_out, rng=rng)), err=True)


def sentence(note: Note) -> str:
    """Return what a fine-tuning did, for people."""
    change = (
        f"{note.top1_before:.1%} to {note.top1_after:.1%} of the words of {counted(note.held_out_examples, 'example')} "
        "held out come first"
    )
    return f"{change}; {'used where --personal is given' if note.kept else 'no better, so not used'}"
