"""`edgewise device predict|status|history`: what the device can do and what it has done."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from edgewise.commands.device.options import counted, home_option, json_option, moment, open_store, print_json
from edgewise_edge.home import Home, read_json
from edgewise_edge.host import NotPaused, installed_runtime
from edgewise_edge.model import LatestModel
from edgewise_edge.participation import Entry, Outcome, ParticipationLog
from edgewise_edge.policy import MEGABYTE, load_policy


@click.command("predict")
@click.argument("text", default="")
@click.option("--count", "-k", type=click.IntRange(1, 50), default=3, show_default=True, help="How many words.")
@click.option("--model", type=click.Path(path_type=Path), help="Use this model file instead of the latest round's.")
@click.option("--threads", type=click.IntRange(1, 64), default=1, show_default=True, help="Threads to compute with.")
@json_option
@home_option
def predict(text: str, count: int, model: Path | None, threads: int, as_json: bool, home: Path) -> None:
    """Suggest the words that may follow TEXT.

    \b
    Example:
      edgewise device predict "see you"
    """
    from edgewise_edge.predict import open_predictor

    found = open_predictor(Home(home), model=model, threads=threads).suggest(text, count)
    if as_json:
        print_json({"text": text, "suggestions": [one._asdict() for one in found]})
        return
    for one in found:
        click.echo(f"{one.probability:6.1%}  {one.word}")


@click.command("status")
@json_option
@home_option
def status(as_json: bool, home: Path) -> None:
    """Show what the device holds, what it does now and what stands in the way.

    \b
    Example:
      edgewise device status
    """
    report = _status(Home(home))
    if as_json:
        print_json(report)
        return
    for line in _sentences(report):
        click.echo(line)


def _status(home: Home) -> dict[str, object]:
    said, running = read_json(home.status), home.in_use()
    with open_store(home.path) as store:
        train, held_out = store.count(held_out=False), store.count(held_out=True)
    policy, latest = load_policy(home.policy), LatestModel(home).load()
    obstacle = NotPaused(home).obstacle()
    if obstacle is None and train < policy.min_examples:
        obstacle = f"{counted(train, 'example')} to train on, the owner asks for at least {policy.min_examples}"
    last = _entries(home, 1)
    return {
        "home": str(home.path),
        "running": running,
        "state": said.get("state", "never run") if running or not said else "stopped",
        "since": said.get("since") if running else None,
        "fleet": said.get("fleet"),
        "device": said.get("device"),
        "round": said.get("round") if running else None,
        "train_examples": train,
        "held_out_examples": held_out,
        "obstacle": obstacle,
        "paused": home.paused.exists(),
        "model": {"graph": latest.graph.hex(), "round": latest.round, "version": latest.version} if latest else None,
        "runtime": installed_runtime(),
        "policy": asdict(policy),
        "last": _plain(last[0]) if last else None,
    }


def _sentences(report: dict[str, object]) -> list[str]:
    where = f" as {report['device']} in fleet {report['fleet']}" if report["device"] else ""
    state = f"{report['state']}, since {moment(_number(report['since']))}" if report["running"] else report["state"]
    lines = [
        f"Folder:    {report['home']}",
        f"Agent:     {state}{where}",
        f"Examples:  {report['train_examples']} to train on, {report['held_out_examples']} held out",
        f"Can train: {'no: ' + str(report['obstacle']) if report['obstacle'] else 'yes'}",
        f"Runtime:   {report['runtime']}",
    ]
    model, last = report["model"], report["last"]
    lines.append(
        f"Model:     version {model['version']}, round {model['round']}"
        if isinstance(model, dict)
        else "Model:     none yet"
    )
    if isinstance(last, dict):
        lines.append(f"Last:      round {last['round']}, {last['kind']}, {last['outcome']} at {moment(last['ended'])}")
    return lines


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


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
    found = _entries(Home(home), limit)
    if as_json:
        print_json({"participations": [_plain(entry) for entry in found]})
        return
    if not found:
        click.echo("This device has not been asked for anything yet.")
    for entry in found:
        click.echo(_line(entry))


def _entries(home: Home, limit: int) -> list[Entry]:
    if not home.participation.exists():
        return []
    log = ParticipationLog(home.participation)
    try:
        return log.entries(limit)
    finally:
        log.close()


def _plain(entry: Entry) -> dict[str, object]:
    plain = asdict(entry)
    del plain["digest"]
    return plain | {"outcome": entry.outcome.value}


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
