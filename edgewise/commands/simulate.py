"""`edgewise simulate`: a fleet of virtual devices on this machine."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource
from rich.console import Console

from edgewise.live import counted
from edgewise.privacy_options import privacy_options
from edgewise.promises import spent_words
from edgewise.recipes import recipe_options
from edgewise.simulation.compare import applying, folder_of, variants
from edgewise.simulation.options import COHORT, Options, options_of
from edgewise.simulation.plots import SHARES
from edgewise.simulation.population import PRESETS
from edgewise.simulation.result import Result, committed_rounds
from edgewise.simulation.run import ENGINES, RUN, UNTRAINED, Run, on_wire, open_run
from edgewise.simulation.summary import SHOWN_HOURS, duration
from edgewise.simulation.view import SimulationView, summary
from edgewise_wire.artifact import Artifact
from edgewise_wire.errors import ConfigError, DataError, InputError, RunError
from edgewise_wire.files import make_folder
from edgewise_wire.transforms import EXAMPLES

STOPPED = 130  # what shells give a command that Ctrl-C ended
DEFAULTS = Options()
COMPARISON = "comparison.json"  # what a comparison was begun with: those of its runs that never began need it
OF_THE_CALL = ("directory", "workers", "engine", "resume", "target", "as_json", "model")  # not of what is compared
UNWATCHED_WIDTH = 160  # of a summary that goes to a file or another program
NOT_OPTIONS = (*OF_THE_CALL, "data", "compare_with", "wire")


@click.command(short_help="Simulate a fleet on this machine, in virtual time.")
@click.option("--model", type=click.Path(dir_okay=False, path_type=Path), help="The exported .tflite file.")
@click.option(
    "--data",
    default="corpus",
    show_default=True,
    help="Text that `edgewise device import` reads, `corpus` (made up), arrays in a .npz, or module:function.",
)
@click.option("--devices", default=0, help="Registered devices. [default: one for each person in the data]")
@click.option("--cohort", type=int, help=f"Reports that close a round. [default: {COHORT}, or every device if fewer]")
@click.option("--rounds", default=DEFAULTS.rounds, show_default=True, help="Training rounds.")
@click.option(
    "--over-selection", default=DEFAULTS.over_selection, show_default=True, help="Devices asked for each report wanted."
)
@click.option("--min-reports", default=0, help="Fewest reports that make a round. [default: 4/5 of the cohort]")
@click.option("--epochs", default=1, show_default=True, help="Passes over a device's examples in a round.")
@click.option("--learning-rate", default=DEFAULTS.learning_rate, show_default=True, help="Of the devices' SGD.")
@click.option("--max-examples", default=0, help="Most examples a device uses in a round. [default: all]")
@click.option(
    "--compress", default="float32", show_default=True, help=f"How updates are encoded: {', '.join(EXAMPLES)}."
)
@click.option("--compress-down", default="", help="How new versions are, such as lloyd-4. [default: as they are]")
@recipe_options
@privacy_options
@click.option(
    "--compare", "compare_with",
    help="Algorithms to run one after the other on the same cohorts and seeds: fedavg,fedprox:mu=0.1,scaffold.",
)  # fmt: skip
@click.option(
    "--fleet", default="ideal", show_default=True, help=f"The virtual fleet: {', '.join(PRESETS)}, or a .json file."
)
@click.option("--drop-out", type=float, help="Share of the devices asked that are lost. [default: the fleet's own]")
@click.option("--trace", default="", help="A CSV or JSON file that says when devices are available.")
@click.option("--evaluate-every", default=1, show_default=True, help="Rounds between evaluations, 0 for never.")
@click.option("--evaluation-devices", default=0, help="Most devices that measure, always the same ones. [default: all]")
@click.option(
    "--target",
    help="METRIC=VALUE: say when it was reached, in rounds and virtual hours; if no run reached it, the status is 1.",
)
@click.option(
    "--selection-timeout", default=DEFAULTS.selection_timeout, show_default=True,
    help="Virtual seconds to wait for enough devices.",
)  # fmt: skip
@click.option("--report-timeout", default=600.0, show_default=True, help="Virtual seconds to wait for reports.")
@click.option("--offline-grace", default=20.0, show_default=True, help="Virtual seconds that a device may be offline.")
@click.option("--max-abandoned", default=DEFAULTS.max_abandoned, show_default=True, help="Abandoned rounds in a row.")
@click.option("--seed", default=0, show_default=True, help="Of everything that is drawn.")
@click.option("--workers", type=int, help="Processes that train, this one included. [default: one a core]")
@click.option("--engine", default="local", show_default=True, type=click.Choice(ENGINES), help="Where devices train.")
@click.option(
    "--dir", "directory", default=Path("runs/simulation"), show_default=True, type=click.Path(path_type=Path),
    help="Where history, checkpoint, model, plot and the table of devices go.",
)  # fmt: skip
@click.option("--wire", is_flag=True, help="Real coordinator and agents over a broker in memory: slow, whole.")
@click.option("--resume", is_flag=True, help="Go on with the run in --dir; it needs none of its options again.")
@click.option("--json", "as_json", is_flag=True, help="End with one JSON line on standard output.")
def command(**given: Any) -> None:
    """Simulate federated learning over virtual devices: the real rounds and the real .tflite, in virtual time.

    \b
    Example:
      edgewise simulate --model model.tflite --cohort 8 --rounds 50 --learning-rate 2 --fleet phones
      edgewise simulate --model model.tflite --compare fedavg,fedprox:mu=0.1,scaffold --dir runs/compared
      edgewise simulate --resume --dir runs/simulation
    """
    target = _target(given["target"])
    begun = (given["directory"] / COMPARISON).exists()
    try:
        compares = given["compare_with"] or (given["resume"] and begun)
        results = _compare(given) if compares else {"": _one(given, given["directory"], {})}
    except KeyboardInterrupt:
        click.echo(f"Stopped.{_how_to_go_on(given['directory'])}", err=True)
        raise click.exceptions.Exit(STOPPED) from None
    _tell(results, given, target)
    if target and all(result.hours_until(*target) is None for result in results.values()):
        raise click.exceptions.Exit(1)


def _compare(given: dict[str, Any]) -> dict[str, Result]:
    from edgewise.simulation.plots import draw_curves

    given = _as_begun(given) if given["resume"] else given
    results, found = {}, variants(given["compare_with"])
    for variant in found.values():
        _options(given, variant).check_recipe()  # refused before anything is simulated
    if not given["resume"]:
        _begin(given)
    for label, variant in found.items():
        folder = given["directory"] / folder_of(label)
        ended = given["resume"] and not (folder / RUN).exists()
        results[label] = _one({**given, "resume": given["resume"] and not ended}, folder, variant, label)
    draw_curves({label: result.history for label, result in results.items()}, given["directory"] / "comparison.png")
    return results


def _begin(given: dict[str, Any]) -> None:
    """Note what a comparison is begun with.

    Raises:
        InputError: if the folder holds one.
        ModelError: if the model is none.
    """
    folder = given["directory"]
    if _held(folder):
        raise InputError(f"{folder}: holds a simulation; go on with --resume, or choose another --dir")
    if given["model"] is None:
        raise ConfigError("simulate: expected a model; name its file with --model")
    model = Artifact.load(given["model"]).data
    (make_folder(folder) / UNTRAINED).write_bytes(model)
    kept = {name: value for name, value in given.items() if name not in OF_THE_CALL}
    (folder / COMPARISON).write_text(json.dumps(kept, indent=1), "utf-8")


def _as_begun(given: dict[str, Any]) -> dict[str, Any]:
    """Return what a comparison was begun with, changed by what was said now.

    Raises:
        InputError: if the folder holds none.
        ConfigError: if others were compared.
    """
    path, said = given["directory"] / COMPARISON, _said_names()
    if not path.exists():
        raise InputError(f"{given['directory']}: holds no comparison to resume; leave --resume out to begin one")
    kept = json.loads(path.read_text("utf-8"))
    if "compare_with" in said and given["compare_with"] != kept["compare_with"]:
        raise ConfigError(
            f"{given['directory']}: compares {kept['compare_with']}, not {given['compare_with']}; choose another --dir"
        )
    own = {name: value for name, value in kept.items() if name not in said}
    return {**given, **own, "model": given["model"] or given["directory"] / UNTRAINED}


def _held(folder: Path) -> bool:
    """Return whether there is something to go on with."""
    return (folder / RUN).exists() or (folder / COMPARISON).exists()


def _how_to_go_on(folder: Path) -> str:
    return f" To go on: edgewise simulate --resume --dir {folder}" if _held(folder) else ""


def _one(given: dict[str, Any], folder: Path, variant: dict[str, Any], label: str = "") -> Result:
    chosen = _options(given, variant)
    _check_target(given, chosen, folder)
    if given["wire"]:
        return _on_wire(given, chosen, folder, label)
    with open_run(
        given["model"], _said("data", given), chosen, folder, workers=given["workers"],
        engine=given["engine"], resume=given["resume"], said=_said_names(),
    ) as run:  # fmt: skip
        return _go(run, label)


def _options(given: dict[str, Any], variant: dict[str, Any]) -> Options:
    chosen = {name: value for name, value in given.items() if name not in NOT_OPTIONS}
    return options_of(applying(variant, chosen) if variant else chosen)


def _on_wire(given: dict[str, Any], options: Options, folder: Path, label: str) -> Result:
    if given["model"] is None:
        raise ConfigError("simulate --wire: expected a model, also on resuming; name its file with --model")
    view = SimulationView(options.rounds, label)
    with view:
        return on_wire(given["model"], given["data"], options, folder, resume=given["resume"], on_row=view.add)


def _go(run: Run, label: str) -> Result:
    view = SimulationView(run.settings.rounds, label)
    if run.simulator.complete:
        made, asked = run.simulator.state.version, run.settings.rounds
        if made > asked:
            raise ConfigError(f"--rounds {asked}: {run.directory} has made {made} already, and none is taken back")
        click.echo(f"{run.directory}: all its rounds are done and nothing is left to do; --rounds adds more.", err=True)
    for words in _before(run):
        click.echo(words, err=True)
    try:
        with view:
            for row in run.rows[-1:]:
                view.add(row)
            run.go(on_row=view.add)
    except KeyboardInterrupt:
        who = f"{label}: stopped" if label else "Stopped"
        whole = run.directory.parent if label else run.directory
        click.echo(f"{who} after {counted(run.simulator.state.version, 'version')}.{_how_to_go_on(whole)}", err=True)
        raise click.exceptions.Exit(STOPPED) from None
    result = run.result()
    if result.measured:
        result.plot(run.directory / "curve.png")
    if not result.complete:
        why = next((row["reason"] for row in reversed(result.history) if row["reason"]), "")
        raise RunError(f"{why}; {run.settings.max_abandoned + 1} rounds in a row were abandoned")
    return result


def _before(run: Run) -> Iterator[str]:
    """Yield what is worth knowing before the rounds begin."""
    yield from run.doubts()
    goal, devices = run.settings.cohort.goal, len(run.data.devices)
    if goal == devices < COHORT and "cohort" not in _said_names():
        yield f"A round is every device there is, {devices} of them; --cohort says how many."


def _said_names() -> frozenset[str]:
    """Return the names of the options that were given, and not left to their defaults."""
    context = click.get_current_context()
    return frozenset(
        name for name in context.params
        if context.get_parameter_source(name) not in (ParameterSource.DEFAULT, ParameterSource.DEFAULT_MAP)
    )  # fmt: skip


def _said(name: str, given: dict[str, Any]) -> Any:
    """Return an option, `None` on resuming if it was not given: the run knows its own."""
    return given[name] if not given["resume"] or name in _said_names() else None


def _target(text: str | None) -> tuple[str, float] | None:
    if text is None:
        return None
    name, _, value = text.partition("=")
    try:
        return name, float(value)
    except ValueError:
        raise ConfigError(f"--target {text!r}: expected METRIC=NUMBER, such as top1=0.15") from None


def _check_target(given: dict[str, Any], options: Options, folder: Path) -> None:
    """Refuse, before any round, a target that no round could tell of."""
    target, model = _target(given["target"]), Path(given["model"] or folder / UNTRAINED)
    if target is None or not model.exists():
        return
    name, value = target
    if not options.evaluate_every:
        raise ConfigError(f"--target {name}={value:g}: --evaluate-every 0 measures nothing; leave one of them out")
    metrics = ("loss", *Artifact.load(model).manifest.metrics)
    if name not in metrics:
        raise ConfigError(f"--target {name}={value:g}: will not be measured; there is {', '.join(metrics)}")
    if name.startswith(SHARES) and not 0 <= value <= 1:
        raise ConfigError(f"--target {name}={value:g}: expected a share from 0 to 1, 0.15 for 15 %")


def _tell(results: dict[str, Result], given: dict[str, Any], target: tuple[str, float] | None) -> None:
    console = Console(stderr=True)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = UNWATCHED_WIDTH
    console.print(summary(results, console.width))
    for label, result in results.items():
        if target:
            console.print(_reached(label, result, *target), highlight=False, soft_wrap=True)
        promised = next((row["privacy"] for row in reversed(result.history) if row.get("privacy")), None)
        if promised:
            who = f"{label}: " if label else ""
            words = f"{who}Privacy, were the noise secret: {spent_words(promised)}."
            console.print(f"{words} It rests on this: {promised['assumes']}.", highlight=False, soft_wrap=True)
    where = given["directory"]
    words = f"History, model, devices and plot: {where}  (report: edgewise report {where})"
    console.print(words, highlight=False, soft_wrap=True)
    if given["as_json"]:
        click.echo(json.dumps({label or "run": as_json(result, target) for label, result in results.items()}))


def _reached(label: str, result: Result, metric: str, value: float) -> str:
    if metric not in result.metrics:
        raise DataError(f"--target {metric}={value:g}: not measured; there is {', '.join(result.metrics) or 'nothing'}")
    who, hours = f"{label}: " if label else "", result.hours_until(metric, value)
    if hours is None:
        return f"{who}{metric} did not reach {value:g}; it ended at {result.final(metric):.4g}."
    return (
        f"{who}{metric} reached {value:g} after {result.rounds_until(metric, value)} rounds"
        f"{f', {duration(hours)} virtual' if hours > SHOWN_HOURS else ''}."
    )


def as_json(result: Result, target: tuple[str, float] | None) -> dict[str, Any]:
    """Return what scripts read of a result."""
    found: dict[str, Any] = {
        "algorithm": result.algorithm,
        "rounds": committed_rounds(result.history),
        "hours": result.hours,
        "bytes_up": sum(row["bytes_up"] for row in result.history),
        "bytes_down": sum(row["bytes_down"] for row in result.history),
        "model": str(result.directory / "model.tflite"),
        **{name: result.final(name) for name in result.metrics},
    }
    if target:
        found["target"] = {
            "metric": target[0], "value": target[1], "rounds": result.rounds_until(*target),
            "hours": result.hours_until(*target),
        }  # fmt: skip
    return found
