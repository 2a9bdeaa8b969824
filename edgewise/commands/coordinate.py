"""`edgewise coordinate`: run rounds over a fleet."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from edgewise.brokers.choose import BROKER_HELP, open_broker
from edgewise.commands.secured import SecuredFleet
from edgewise.dashboard.option import LOCAL, dashboard_at
from edgewise.engines import collecting, engine_options, spread
from edgewise.links import connected
from edgewise.listening import check_address
from edgewise.live import counted
from edgewise.operating import log_to_stderr, operations, print_configuration, read_configuration
from edgewise.privacy_options import privacy_options, private_plan, promised
from edgewise.promises import spent_words
from edgewise.recipes import Plan, plan, recipe_options
from edgewise.running import Run
from edgewise.secure_rounds import secure_options, secure_way
from edgewise_coordinator.distributed.orders import BrokerSettings
from edgewise_coordinator.faults import VARIABLE, hook_from
from edgewise_coordinator.server import Coordinator, directory_lock
from edgewise_coordinator.settings import RoundSettings, Settings, TrainingSettings
from edgewise_wire.artifact import Artifact
from edgewise_wire.errors import ConfigError, RunError
from edgewise_wire.files import write_durably
from edgewise_wire.topics import check_name
from edgewise_wire.transforms import EXAMPLES
from edgewise_wire.transport.mqtt import MqttTransport
from edgewise_wire.weights import parameters

STOPPED = 130  # what shells give a command that Ctrl-C ended


@click.command(short_help="Run rounds over a fleet.")
@click.option(
    "--model", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The exported .tflite file."
)
@click.option("--broker", default="mqtt://127.0.0.1:1883", show_default=True, help=BROKER_HELP)
@click.option("--fleet", default="home", show_default=True, help="The fleet's name.")
@click.option(
    "--fleet-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="What `edgewise fleet init` made: broker, fleet, papers, signing key, and who belongs.",
)
@click.option("--rounds", default=10, show_default=True, help="How many training rounds to commit.")
@click.option("--cohort", default=8, show_default=True, help="Reports that close a round (the goal count).")
@click.option("--over-selection", default=1.3, show_default=True, help="Devices asked for each report wanted.")
@click.option(
    "--min-reports", default=0, help="Fewest reports that make a round at its deadline. [default: 4/5 of the cohort]"
)
@click.option("--epochs", default=1, show_default=True, help="Passes over a device's examples in a round.")
@click.option("--learning-rate", default=0.5, show_default=True, help="Of the devices' SGD.")
@click.option("--max-examples", default=0, help="Most examples a device uses in a round. [default: all]")
@click.option(
    "--compress",
    default="float32",
    show_default=True,
    help=f"How devices encode their updates: {', '.join(EXAMPLES)}. eden-2 is a sixteenth of float32.",
)
@click.option(
    "--compress-down",
    default="",
    help="How new versions go to devices that have an earlier one, such as lloyd-4.  [default: as they are]",
)
@recipe_options
@secure_options
@privacy_options
@click.option("--evaluate-every", default=1, show_default=True, help="Rounds between evaluations, 0 for never.")
@click.option("--evaluation-devices", default=0, help="Most devices that evaluate a version.  [default: all online]")
@click.option("--selection-timeout", default=300.0, show_default=True, help="Seconds to wait for enough devices.")
@click.option("--report-timeout", default=600.0, show_default=True, help="Seconds to wait for reports.")
@click.option(
    "--offline-grace", default=20.0, show_default=True, help="Seconds that a device of the round may be offline."
)
@click.option("--seed", default=0, show_default=True, help="Of selection and of the devices' shuffling.")
@click.option(
    "--dir",
    "directory",
    default=Path("runs/fleet"),
    show_default=True,
    type=click.Path(path_type=Path),
    help="Where state, versions, rounds.jsonl and the trained model go; run again over the same one to go on.",
)
@click.option("--username", envvar="EDGEWISE_USERNAME", help="For the broker.")
@click.option(
    "--password", envvar="EDGEWISE_PASSWORD", help="For the broker; better in the environment: EDGEWISE_PASSWORD."
)
@click.option(
    "--http", help="HOST:PORT to serve weights over HTTP beside the broker, to devices that reach it; 127.0.0.1:0 here."
)
@click.option("--http-url", default="", help="What devices are told, if a proxy with TLS stands before --http.")
@click.option(
    "--connections", default=1, show_default=True, help="To the broker, for one that limits each (AWS IoT Core)."
)
@engine_options
@click.option(
    "--max-devices", default=1_000_000, show_default=True, help="Most devices to know of, about 350 bytes each."
)
@click.option("--keep-updates", is_flag=True, help="Keep the devices' updates after each round (for audits and tests).")
@click.option("--json", "as_json", is_flag=True, help="End with one JSON line on standard output.")
@click.option(
    "--dashboard",
    callback=check_address,
    is_flag=False,
    flag_value=LOCAL,
    metavar="[HOST:PORT]",
    help=f"Serve a page that shows the fleet and its rounds as they happen, on {LOCAL} unless you say where.",
)
@click.option(
    "--metrics",
    callback=check_address,
    help="HOST:PORT for /metrics (Prometheus), /healthz and /status; keep it inside.",
)
@click.option(
    "--log",
    "log_kind",
    default="plain",
    show_default=True,
    type=click.Choice(["plain", "json"]),
    help="What the log is.",
)
@click.option(
    "--config",
    type=click.Path(dir_okay=False, path_type=Path),
    is_eager=True,
    expose_value=False,
    callback=read_configuration,
    help="A TOML file with any of these settings; the command line comes first.",
)
@click.option(
    "--print-config",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=print_configuration,
    help="Print every setting with its default as TOML, for --config.",
)
def command(
    model: Path,
    broker: str,
    fleet_dir: Path | None,
    directory: Path,
    username: str | None,
    password: str | None,
    as_json: bool,
    metrics: str | None,
    dashboard: str | None,
    log_kind: str,
    **options: Any,
) -> None:
    """Run federated rounds over the devices of a fleet.

    \b
    Example:
      edgewise coordinate --model model.tflite --broker mqtt://127.0.0.1:1883 --rounds 20 --cohort 8
      edgewise coordinate --model model.tflite --fleet-dir fleet --cohort 64 --secure-aggregation
      edgewise coordinate --model model.tflite --privacy dp-fedavg --clip-norm 0.3 --epsilon 8 --rounds 100 --cohort 500
    """
    log_to_stderr(log_kind)
    secured = SecuredFleet.load(fleet_dir)
    promise = promised(options, directory)
    chosen = private_plan(plan(options), options)
    if options["aggregators"]:
        _check_alone(options, private=options["privacy"] != "none")
    settings = _settings({**options, "fleet": secured.fleet or options["fleet"]}, chosen)
    aggregators = spread(options, settings, chosen.recipe, secured.aggregator_tls)
    artifact = Artifact.load(model)
    secure = secure_way(options, chosen, settings, secured, parameters(artifact.manifest.weights), directory)
    broker = secured.broker if secured.broker and _is_default("broker") else broker
    with contextlib.ExitStack() as stack:
        stack.enter_context(directory_lock(directory))
        url = stack.enter_context(open_broker(broker, directory / "broker"))

        def link(client_id: str) -> MqttTransport:
            return MqttTransport(
                url, client_id, username=username, password=password,
                ca=secured.tls.ca, cert=secured.tls.cert, key=secured.tls.key,
            )  # fmt: skip

        name = f"edgewise-{settings.fleet}-coordinator"
        transport = stack.enter_context(connected(link, name, options["connections"]))
        reached = BrokerSettings(url, username, password)
        collect = stack.enter_context(collecting(aggregators, settings, directory, reached))

        def make() -> Coordinator:
            return Coordinator(
                artifact,
                transport,
                directory,
                settings,
                **chosen.arguments,
                **({"collect": collect, "privacy": promise} | secure),
                members=secured.members,
                seal=secured.seal,
                fault=hook_from(os.environ.get(VARIABLE)),
            )

        run = Run(make, directory, options["http"], options["http_url"])
        stack.callback(run.close)
        shown = stack.enter_context(operations(directory, secured.refusals, metrics))
        stack.enter_context(dashboard_at(directory, dashboard, log_kind))
        rows = run.to_end(shown, quiet=log_kind == "json")
        coordinator = run.coordinator
        trained = directory / "model.tflite"
        write_durably(trained, coordinator.model.file())
        _tell(coordinator, rows, trained, as_json)


def _check_alone(options: dict[str, Any], *, private: bool) -> None:
    """Refuse what aggregators cannot do yet."""
    if private or options["secure_aggregation"]:
        other = "--privacy" if private else "--secure-aggregation"
        raise ConfigError(f"--aggregators with {other}: only plain updates are spread so far; leave out one")


def _is_default(name: str) -> bool:
    return click.get_current_context().get_parameter_source(name) is ParameterSource.DEFAULT


def _settings(o: dict[str, Any], chosen: Plan) -> Settings:
    if o["buffer"] is not None and not _is_default("cohort"):
        raise ConfigError("--cohort with --buffer: a buffer has no cohort; --concurrency says how many are at work")
    settings = Settings(
        fleet=check_name("fleet", o["fleet"]),
        rounds=o["rounds"],
        cohort=RoundSettings(
            goal=o["buffer"] or o["cohort"],
            over_selection=o["over_selection"],
            min_reports=o["min_reports"],
            selection_timeout=o["selection_timeout"],
            report_timeout=o["report_timeout"],
            offline_grace=o["offline_grace"],
        ),
        training=TrainingSettings(o["epochs"], o["learning_rate"], o["max_examples"], o["compress"]),
        evaluate_every=o["evaluate_every"],
        evaluation_devices=o["evaluation_devices"],
        seed=o["seed"],
        downlink=o["compress_down"],
        max_devices=o["max_devices"],
        keep_updates=o["keep_updates"],
        buffer=chosen.buffer,
    )
    chosen.check(settings)
    return settings


def _tell(coordinator: Coordinator, rows: list[dict[str, Any]], trained: Path, as_json: bool) -> None:
    committed = sum(row["round"] > 0 and row["phase"] == "committed" for row in rows)
    promise = coordinator.privacy.standing()
    if promise:
        click.echo(f"Privacy: {spent_words(promise)}; it rests on this: {promise['assumes']}.", err=True)
    where = f"version {coordinator.version} of the model is in {trained}"
    if not coordinator.complete and not coordinator.finished:
        click.echo(f"Stopped; {where}.{'' if as_json else ' The same command goes on from there.'}", err=True)
        raise click.exceptions.Exit(STOPPED)
    if not coordinator.complete:
        why = next((row["reason"] for row in reversed(rows) if row["reason"]), "too many rounds were abandoned")
        raise RunError(f"{why}; {where}, and the same command goes on from there")
    if as_json:
        refused = dict(coordinator.link.refused)
        end = {"rounds": committed, "version": coordinator.version, "model": str(trained), "refused": refused}
        click.echo(json.dumps(end | {"privacy": promise}))
    elif coordinator.version < coordinator.settings.rounds:
        click.echo(f"{counted(committed, 'round')} committed; one more would pass the privacy budget; {where}.")
    else:
        click.echo(f"{counted(committed, 'round')} committed; {where}. More: --rounds {2 * coordinator.version}.")
