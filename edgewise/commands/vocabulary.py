"""`edgewise vocabulary`: a fleet's own words, found without reading anyone's text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from edgewise.brokers.choose import BROKER_HELP, open_broker
from edgewise.commands.secured import SecuredFleet
from edgewise.guessing import GuessingGroup
from edgewise.operating import log_to_stderr
from edgewise.running import stop_signals
from edgewise.vocabulary import write_vocabulary
from edgewise_coordinator.discovery.hitters import NoisyCounts, TrieHH, counts_within
from edgewise_coordinator.discovery.server import Discovery
from edgewise_coordinator.server import directory_lock
from edgewise_coordinator.settings import RoundSettings
from edgewise_wire.errors import ConfigError, RunError
from edgewise_wire.files import write_durably
from edgewise_wire.transport.mqtt import MqttTransport

STOPPED = 130


@click.group(cls=GuessingGroup, short_help="Find the words of a fleet, with differential privacy.")
def command() -> None:
    """Find the words of a fleet, with differential privacy.

    \b
    Example:
      edgewise vocabulary discover --cohort 200 --epsilon 4 --out words.txt
    """


@command.command("discover")
@click.option("--broker", default="mqtt://127.0.0.1:1883", show_default=True, help=BROKER_HELP)
@click.option("--fleet", default="home", show_default=True, help="The fleet's name.")
@click.option("--fleet-dir", type=click.Path(file_okay=False, path_type=Path), help="What `edgewise fleet init` made.")
@click.option(
    "--method",
    default="counts",
    show_default=True,
    type=click.Choice(["counts", "triehh"]),
    help="Noise on counts, or TrieHH's sample and threshold.",
)
@click.option("--cohort", required=True, type=int, help="Devices that vote in a round.")
@click.option("--characters", default=10, show_default=True, help="Longest word.")
@click.option("--votes", default=16, show_default=True, help="Of counts: most words a device votes for in a round.")
@click.option("--epsilon", type=float, help="Of counts: what all rounds cost together.")
@click.option("--delta", default=1e-6, show_default=True, help="Of counts: of (ε, δ).")
@click.option("--population", type=int, help="Of triehh: devices of the fleet.")
@click.option("--threshold", default=10, show_default=True, help="Of triehh: votes that a prefix needs.")
@click.option("--report-timeout", default=120.0, show_default=True, help="Seconds to wait for votes.")
@click.option("--selection-timeout", default=300.0, show_default=True, help="Seconds to wait for enough devices.")
@click.option(
    "--dir",
    "directory",
    default=Path("runs/vocabulary"),
    show_default=True,
    type=click.Path(path_type=Path),
    help="Where the search is kept; run again over it to go on.",
)
@click.option(
    "--out",
    default=Path("words.txt"),
    show_default=True,
    type=click.Path(path_type=Path),
    help="The word file, for `edgewise export --vocabulary`.",
)
@click.option("--json", "as_json", is_flag=True, help="End with one JSON line on standard output.")
def discover(directory: Path, out: Path, as_json: bool, **o: Any) -> None:
    """Look for words that many devices of a fleet use, and write them to a file with the guarantee that holds.

    Devices take part only where their owner allows votes: `edgewise device policy set max_votes 16`.

    \b
    Example:
      edgewise vocabulary discover --cohort 200 --epsilon 4 --out words.txt
      edgewise vocabulary discover --method triehh --population 1000000 --cohort 20000 --out words.txt
    """
    log_to_stderr("plain")
    rounds = o["characters"] + 1  # a word's end is a round of its own
    hitters = _hitters(o, rounds)
    secured = SecuredFleet.load(o["fleet_dir"])
    fleet = secured.fleet or o["fleet"]
    cohort = RoundSettings(
        goal=o["cohort"], report_timeout=o["report_timeout"], selection_timeout=o["selection_timeout"]
    )
    console = Console(stderr=True)
    tls = secured.tls
    with directory_lock(directory), open_broker(secured.broker or o["broker"], directory / "broker") as url:
        transport = MqttTransport(url, f"edgewise-{fleet}-vocabulary", ca=tls.ca, cert=tls.cert, key=tls.key)
        transport.connect()
        search = Discovery(
            transport, directory, fleet, hitters, cohort, rounds, members=secured.members, seal=secured.seal
        )
        try:
            with stop_signals() as stop:
                before = search.length
                while not search.finished and not stop.is_set():
                    search.step(0.25)
                    if search.length > before:
                        before = search.length
                        console.print(
                            f"{before - 1} characters: {search.reports} devices voted, {search.prefixes} prefixes,"
                            f" {len(search.words)} words"
                        )
        finally:
            search.close()
            transport.close()
    if not search.complete:
        if search.finished:
            raise RunError(
                "too many rounds in a row were abandoned: are there enough devices whose owners allow votes?"
            )
        click.echo("Stopped. The same command goes on from there.", err=True)
        raise click.exceptions.Exit(STOPPED)
    write_vocabulary(out, search.words)
    spent = hitters.spent
    told = {"words": len(search.words), "file": str(out), "epsilon": spent.epsilon, "delta": spent.delta}
    told |= {"method": o["method"], "assumes": hitters.assumptions}
    beside = out.with_name(out.name + ".privacy.json")  # the guarantee goes where the words go
    write_durably(beside, (json.dumps(told, indent=2) + "\n").encode())
    if as_json:
        click.echo(json.dumps(told))
    else:
        click.echo(
            f"{len(search.words)} words in {out}: ε = {spent.epsilon:.3g} at δ = {spent.delta:g}, if"
            f" {hitters.assumptions}; this stands in {beside.name}, too."
        )


def _hitters(o: dict[str, Any], rounds: int) -> NoisyCounts | TrieHH:
    if o["method"] == "triehh":
        if o["population"] is None:
            raise ConfigError("--method triehh needs --population: its guarantee rests on the sample")
        return TrieHH(o["population"], o["cohort"], o["threshold"], rounds)
    if o["epsilon"] is None:
        raise ConfigError("--method counts needs --epsilon: what all rounds may cost together")
    return counts_within(o["epsilon"], votes=o["votes"], rounds=rounds, delta=o["delta"])
