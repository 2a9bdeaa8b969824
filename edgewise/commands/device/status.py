"""`edgewise device status`: what the device holds, what it does, and what stands in its way."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from edgewise.commands.device.options import counted, existing, home_option, json_option, moment, print_json
from edgewise.commands.device.show import entries, plain
from edgewise.commands.device.tuning import sentence
from edgewise_edge.budget import Budget
from edgewise_edge.conditions import Finding, metered, watch
from edgewise_edge.home import Home, read_json
from edgewise_edge.host import NotPaused, installed_runtime
from edgewise_edge.model import LatestModel
from edgewise_edge.own import Own
from edgewise_edge.participation import ParticipationLog, Used
from edgewise_edge.personal import Personal
from edgewise_edge.policy import MEGABYTE

RULES = {
    "power": "on_battery, min_battery", "temperature": "max_temperature", "throttling": "when_throttled",
    "load": "max_load", "network": "metered_megabytes", "disk": "min_free_disk", "memory": "min_free_memory",
    "hours": "hours",
}  # fmt: skip
"""The names in `edgewise device policy set NAME VALUE` of what each condition is held against."""


@click.command("status")
@json_option
@home_option
def status(as_json: bool, home: Path) -> None:
    """Show what the device holds, what it does now, and each condition: its reading, its rule, whether it holds.

    \b
    Example:
      edgewise device status
    """
    report = _status(Own(existing(home)))
    if as_json:
        print_json(report)
        return
    for line in _sentences(report):
        click.echo(line)


def _status(own: Own) -> dict[str, Any]:
    home = own.home
    said, running = read_json(home.status), home.in_use()
    with own.store() as store:
        train, held_out = store.count(held_out=False), store.count(held_out=True)
        key = store.key_file
    watched = watch(own.machine(), own.clock)
    findings = [one.finding() for one in watched]
    used, spent = _day(own, metered(watched))
    latest, last = LatestModel(home).load(), entries(home, 1)
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
        "key": str(key) if key else None,
        "obstacle": NotPaused(home).obstacle() or _too_few(own, train) or _first(findings) or spent,
        "conditions": [asdict(found) for found in findings],
        "day": used._asdict(),
        "clock_believed": own.clock.date() is not None,
        "paused": home.paused.exists(),
        "model": {"graph": latest.graph.hex(), "round": latest.round, "version": latest.version} if latest else None,
        "personal": _personal(home),
        "runtime": installed_runtime(),
        "policy": asdict(own.policy()),
        "last": plain(last[0]) if last else None,
    }


def _personal(home: Home) -> dict[str, Any] | None:
    note = Personal(home).note()
    return None if note is None else asdict(note) | {"gain": note.gain, "words": sentence(note)}


def _too_few(own: Own, train: int) -> str | None:
    least = own.policy().min_examples
    return None if train >= least else f"{counted(train, 'example')} to train on, the owner asks for at least {least}"


def _first(findings: list[Finding]) -> str | None:
    return next((str(found) for found in findings if not found.holds), None)


def _day(own: Own, on_metered: bool) -> tuple[Used, str | None]:
    """Return what the last 24 hours took, and which of the owner's limits a day is used up."""
    if not own.home.participation.exists():
        return Used(), None
    log = ParticipationLog(own.home.participation)
    try:
        budget = Budget(log, own.clock, own.policy, lambda: on_metered)
        return budget.used(), budget.obstacle()
    finally:
        log.close()


def _sentences(report: dict[str, Any]) -> list[str]:
    where = f" as {report['device']} in fleet {report['fleet']}" if report["device"] else ""
    state = f"{report['state']}, since {moment(_number(report['since']))}" if report["running"] else report["state"]
    model, last, day = report["model"], report["last"], report["day"]
    lines = [
        f"Folder:    {report['home']}",
        f"Agent:     {state}{where}",
        f"Examples:  {report['train_examples']} to train on, {report['held_out_examples']} held out"
        + (f"; encrypted with {report['key']}" if report["key"] else ""),
        f"Can train: {'no: ' + str(report['obstacle']) if report['obstacle'] else 'yes'}",
        f"Runtime:   {report['runtime']}",
        f"Model:     version {model['version']}, round {model['round']}" if model else "Model:     none yet",
        f"Last day:  {counted(day['epochs'], 'epoch')}, {day['seconds'] / 60:.1f} minutes, "
        f"{day['traffic'] / MEGABYTE:.1f} MB",
    ]
    if report["personal"]:
        lines.append(f"Personal:  {report['personal']['words']}")
    if last:
        when = moment(last["ended"])
        lines.append(
            f"Last:      round {last['round']} (evaluations count, too), {last['kind']}, {last['outcome']} at {when}"
        )
    if not report["clock_believed"]:
        lines.append("Clock:     behind the last date seen; nothing that needs the date is done until it is set")
    lines.append("Conditions (edgewise device policy set NAME VALUE changes a rule; its name comes last):")
    for one in report["conditions"]:
        mark = "holds" if one["holds"] else "FAILS"
        rules = f"; {RULES[one['name']]}" if one["name"] in RULES else ""
        lines.append(f"  {mark}  {one['name'] + ':':<13}{one['reading']} (rule: {one['rule']}{rules})")
    if report["running"] and not all(one["holds"] for one in report["conditions"]):
        lines.append("  (An agent that was started with --no-conditions heeds none of these.)")
    return lines


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None
