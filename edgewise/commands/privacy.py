"""`edgewise privacy`: what noise a guarantee needs, and what a noise guarantees, before anything runs."""

from __future__ import annotations

import json
import math
import shutil
from typing import Any

import click
from rich import box
from rich.console import Console
from rich.table import Table

from edgewise.guessing import GuessingGroup
from edgewise_coordinator.privacy.planning import (
    MECHANISMS,
    PARAMETERS,
    WORDS,
    Run,
    reference_ratio,
    useful_cohort,
)
from edgewise_wire.errors import ConfigError

NARROW = 72  # characters, below which some columns are left out
PIPE_WIDTH = 100  # characters, where there is no terminal
ASSUMES = {
    True: "each round's cohort is a uniform sample of the population",
    False: "a device takes part at most once in {m} rounds, which it enforces itself",
}


@click.group(cls=GuessingGroup, short_help="Plan a run with differential privacy.")
def command() -> None:
    """Plan a run with differential privacy: noise, guarantee, and how many devices it takes.

    \b
    Example:
      edgewise privacy plan --population 1000000 --cohort 6500 --rounds 2000 --delta 1e-10 --epsilon 8.9
    """


@command.command("plan")
@click.option("--population", type=int, required=True, help="Devices of the fleet.")
@click.option("--cohort", type=int, required=True, help="Reports a round.")
@click.option("--rounds", type=int, required=True, help="Rounds of the run.")
@click.option("--delta", type=float, help="Of (ε, δ). [default: a tenth of 1 / population]")
@click.option("--epsilon", type=float, help="Find the noise multiplier for this ε …")
@click.option("--noise-multiplier", type=float, help="… or the ε of this noise multiplier.")
@click.option(
    "--separation", type=int,
    help="Rounds from one participation of a device to its next. [default: population / cohort, everyone in turn]",
)  # fmt: skip
@click.option("--participations", type=int, help="Most rounds of one device. [default: as many as fit]")
@click.option("--bands", type=int, help="Of dp-mf. [default: the separation, at most 400]")
@click.option("--restart-every", type=int, help="Of dp-ftrl: a new tree after so many rounds. [default: never]")
@click.option("--parameters", default=PARAMETERS, show_default=True, help="Of the model: noise grows with their root.")
@click.option("--json", "as_json", is_flag=True, help="One JSON line.")
def plan(as_json: bool, **o: Any) -> None:
    """Compare the mechanisms for a run: noise multiplier or (ε, δ), zCDP, and the cohort that a useful model needs.

    `noise` is the standard deviation of the noise on the mean update over the clipping norm; `noise : signal` what the
    trained weights carry of it over the furthest that clipped updates can have moved them. A model is called useful
    where that is no worse than in the first private model in Gboard (es-ES, 2022).

    \b
    Example:
      edgewise privacy plan --population 1000000 --cohort 6500 --rounds 2000 --delta 1e-10 --epsilon 8.9
      edgewise privacy plan --population 5000 --cohort 100 --rounds 200 --noise-multiplier 1
    """
    if (o["epsilon"] is None) == (o["noise_multiplier"] is None):
        raise ConfigError("expected one of --epsilon and --noise-multiplier: the other one is found")
    rows = [_row(o, "dp-fedavg", sampled=True), *(_row(o, kind, sampled=False) for kind in MECHANISMS)]
    if as_json:
        click.echo(json.dumps({"useful_noise_to_signal": reference_ratio(o["parameters"]), "mechanisms": rows}))
    else:
        _print(o, rows)


def _run(o: dict[str, Any], kind: str, sampled: bool, cohort: int) -> Run | None:
    if cohort > o["population"]:
        return None
    turn = o["separation"] if o["separation"] is not None else max(1, o["population"] // cohort)
    return Run(
        kind, o["population"], cohort, o["rounds"],
        delta=o["delta"] if o["delta"] is not None else 0.1 / o["population"],
        separation=1 if sampled else min(turn, o["rounds"]), participations=o["participations"], sampled=sampled,
        bands=(o["bands"] or 0) if kind == "dp-mf" else 0,
        restart_every=(o["restart_every"] or 0) if kind == "dp-ftrl" else 0,
    )  # fmt: skip


def _row(o: dict[str, Any], kind: str, sampled: bool) -> dict[str, Any]:
    run = _run(o, kind, sampled, o["cohort"])
    if run is None:
        raise ConfigError(f"cohort: expected 1 to the population {o['population']}, got {o['cohort']}")
    z = o["noise_multiplier"] if o["noise_multiplier"] is not None else run.noise_multiplier(o["epsilon"])
    cost = run.cost(z)
    free = {**o, "bands": None}  # another cohort has another separation, and as many bands as go with it
    cohort = useful_cohort(lambda c: _run(free, kind, sampled, c), cost.epsilon, o["parameters"])
    return {
        "privacy": kind, "sampled": sampled, "mechanism": run.mechanism.name, "noise_multiplier": z,
        "epsilon": _finite(cost.epsilon), "delta": cost.delta, "zcdp": _finite(cost.rho), "separation": run.separation,
        "noise": z / run.cohort, "noise_to_signal": run.noise_to_signal(z, o["parameters"]), "useful_cohort": cohort,
        "assumes": ASSUMES[sampled].format(m=run.separation),
    }  # fmt: skip


def _print(o: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    console = Console(width=shutil.get_terminal_size((PIPE_WIDTH, 24)).columns)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), title_justify="left")
    table.title = f"{o['rounds']} rounds of {o['cohort']} of {o['population']} devices, δ = {rows[0]['delta']:g}"
    left_out = () if console.width >= NARROW else ("noise", "zCDP")  # the others say as much
    shown = [{name: cell for name, cell in _cells(row).items() if name not in left_out} for row in rows]
    for heading in shown[0]:
        longest = max(len(word) for text in (heading, *(one[heading] for one in shown)) for word in text.split())
        table.add_column(heading, justify="left" if heading == "--privacy" else "right", min_width=longest)
    for one in shown:
        table.add_row(*one.values())
    console.print(table)
    for row in rows:
        console.print(f"{row['privacy']:<10} {WORDS[row['privacy']]}; assumes that {row['assumes']}.", highlight=False)
    console.print(
        "Neighbours differ in all that one device reports; the coordinator adds the noise. Useful: noise : signal of"
        f" at most {reference_ratio(o['parameters']):.2g}.", highlight=False,
    )  # fmt: skip


def _cells(row: dict[str, Any]) -> dict[str, str]:
    return {
        "--privacy": row["privacy"] + (" --population" if row["sampled"] else ""),
        "noise multiplier": f"{row['noise_multiplier']:.4g}",
        "ε": _shown(row["epsilon"]),
        "zCDP": _shown(row["zcdp"]),
        "noise": f"{row['noise']:.2g}",
        "noise : signal": f"{row['noise_to_signal']:.2g}",
        "useful from a cohort of": "no cohort" if row["useful_cohort"] is None else f"{row['useful_cohort']:,}",
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _shown(value: float | None) -> str:
    return "none" if value is None else f"{value:.3g}"
