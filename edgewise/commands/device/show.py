"""`edgewise device predict|history`: what the device can do and what it has done."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from edgewise.commands.device.options import counted, existing, home_option, json_option, moment, print_json
from edgewise.commands.device.tuning import personal_option, tune_if_needed
from edgewise_edge.home import Home
from edgewise_edge.own import Own
from edgewise_edge.participation import Entry, Outcome, ParticipationLog
from edgewise_edge.policy import MEGABYTE


@click.command("predict")
@click.argument("text", default="")
@click.option("--count", "-k", type=click.IntRange(1, 50), default=3, show_default=True, help="How many words.")
@click.option("--model", type=click.Path(path_type=Path), help="Use this model file instead of the latest round's.")
@click.option("--threads", type=click.IntRange(1, 64), default=1, show_default=True, help="Threads to compute with.")
@personal_option
@json_option
@home_option
def predict(text: str, count: int, model: Path | None, threads: int, personal: bool, as_json: bool, home: Path) -> None:
    """Suggest the words that may follow TEXT; of another model, show what it makes of a record.

    \b
    Example:
      edgewise device predict "see you"
      edgewise device predict '{"features": [5.1, 3.5, 1.4, 0.2]}'
    """
    from edgewise_edge.host import TEXT_TASK
    from edgewise_edge.predict import Predictor, open_model, outputs

    folder = existing(home)
    if personal and model is None:
        tune_if_needed(Own(folder), threads)
    trainer = open_model(folder, model=model, threads=threads, personal=personal)
    if trainer.manifest.task != TEXT_TASK:
        print_json({name: array[0].tolist() for name, array in outputs(trainer, text).items()})
        return
    found = Predictor(trainer).suggest(text, count)
    if as_json:
        print_json({"text": text, "suggestions": [one._asdict() for one in found]})
        return
    for one in found:
        click.echo(f"{one.probability:6.1%}  {one.word}")


@click.command("history")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="The latest so many.")
@json_option
@home_option
def history(limit: int, as_json: bool, home: Path) -> None:
    """Show what was asked of this device, what it sent, and when.

    \b
    Example:
      edgewise device history --limit 5
    """
    found = entries(existing(home), limit)
    if as_json:
        print_json({"participations": [plain(entry) for entry in found]})
        return
    if not found:
        click.echo("This device has not been asked for anything yet.")
    for entry in found:
        click.echo(_line(entry))
    if found:
        click.echo("(Rounds are numbered as they are asked for: evaluations count, too.)", err=True)


def entries(home: Home, limit: int) -> list[Entry]:
    """Return the latest participations, newest first."""
    if not home.participation.exists():
        return []
    log = ParticipationLog(home.participation)
    try:
        return log.entries(limit)
    finally:
        log.close()


def plain(entry: Entry) -> dict[str, object]:
    """Return a participation as JSON has it."""
    found = asdict(entry)
    del found["digest"]
    return found | {"outcome": entry.outcome.value}


def _line(entry: Entry) -> str:
    words = [f"{moment(entry.began)}  round {entry.round}, {entry.kind}: {entry.outcome.value}"]
    if entry.reason:
        words.append(f"({entry.reason})")
    if entry.outcome is Outcome.REPORTED:
        what = counted(entry.examples, "example")
        if entry.norm is not None:
            what += f", {counted(entry.steps, 'step')}, loss {entry.loss:.3f}, norm of the update {entry.norm:.3f}"
        words.append(f"- {what}; {entry.bytes_down / MEGABYTE:.2f} MB down, {entry.bytes_up / MEGABYTE:.2f} MB up")
    return " ".join(words)
