"""The options that say how a fleet's updates are summed without being seen, and what does not go together with that."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import click

from edgewise.commands.secured import SecuredFleet
from edgewise.recipes import Plan
from edgewise_coordinator.settings import Settings
from edgewise_wire.encodings import parse
from edgewise_wire.errors import ConfigError, UnavailableError
from edgewise_wire.messages import SecureTerms
from edgewise_wire.secure.form import Form

log = logging.getLogger("edgewise.coordinator")

Command = TypeVar("Command", bound=Callable[..., Any])

WEIGHT_MAX = 1000  # examples beyond it weigh no more, unless --max-examples says less

OPTIONS = [
    click.option("--secure-aggregation", is_flag=True, help="Learn the sum of the updates and no single one."),
    click.option(
        "--secure-bits", default=20, show_default=True, help="Bits of a number in it; the sum takes log2(cohort) more."
    ),
    click.option("--secure-range", default=4.0, show_default=True, help="Numbers beyond ± it are clipped."),
    click.option(
        "--secure-dropout", default=0.25, show_default=True, help="Share of a round's devices that may fall silent."
    ),
    click.option(
        "--secure-timeout", default=30.0, show_default=True, help="Seconds for each of its exchanges of messages."
    ),
    click.option(
        "--secure-noise",
        type=float,
        help="Noise multiplier: devices add noise themselves, so that it holds against the coordinator, too.",
    ),
    click.option("--secure-delta", default=1e-6, show_default=True, help="The δ that --secure-noise is told at."),
]


def secure_options(command: Command) -> Command:
    """Add the options to a click command."""
    for add in reversed(OPTIONS):
        command = add(command)
    return command


def secure_way(
    o: dict[str, Any], chosen: Plan, settings: Settings, fleet: SecuredFleet, numbers: int
) -> dict[str, Any]:
    """Return the coordinator's argument for secure rounds, nothing for plain ones; `numbers` an update has.

    Raises:
        ConfigError: if something was chosen that must see single updates; the message says what, and why.
        UnavailableError: if the package that it takes is not installed.
    """
    if not o["secure_aggregation"]:
        return {}
    _refuse(o, chosen)
    try:
        from edgewise_coordinator.collecting.secure import SecureSettings, secure_updates
        from edgewise_wire.crypto.enrolled import Register
        from edgewise_wire.secure.graph import plan
    except ModuleNotFoundError as error:
        raise UnavailableError(
            f"--secure-aggregation needs the package {error.name!r}: pip install 'edgewise[coordinator]'"
        ) from error
    cohort = settings.cohort
    clip = parse(o["compress"]).clip or 0.0
    equal = chosen.algorithm.client.uniform or o["secure_noise"] is not None
    terms = SecureTerms(
        value_bits=o["secure_bits"],
        range=min(o["secure_range"], clip or o["secure_range"]),  # no number of a clipped update is beyond its norm
        weight_max=1 if equal else min(o["max_examples"] or WEIGHT_MAX, WEIGHT_MAX),
        clip=clip,
    )
    terms = _noised(o, terms, settings, numbers)
    Form(cohort.target, terms.value_bits, terms.range, terms.weight_max, terms.noise)  # raises for what cannot be
    for size in {max(2, cohort.least), max(2, cohort.goal), cohort.target}:
        plan(size, dropout=o["secure_dropout"])
    if fleet.authority is None:
        log.warning("--secure-aggregation without --fleet-dir: devices must trust this coordinator not to lie")
    elif not fleet.apart:
        log.warning(
            "the key that enrols devices is on this machine: they must trust this coordinator not to lie; "
            "keep authority/ca.key elsewhere (docs/privacy.md)"
        )
    register = Register(_read(fleet.authority)) if fleet.authority else None
    way = SecureSettings(terms, dropout=o["secure_dropout"], step_timeout=o["secure_timeout"])
    return {"collect": secure_updates(way, register)}


def _noised(o: dict[str, Any], terms: SecureTerms, settings: Settings, numbers: int) -> SecureTerms:
    """Return the terms with each device's noise in them, and say what the run will have cost."""
    if o["secure_noise"] is None:
        return terms
    from edgewise_coordinator.privacy.skellam import SkellamNoise

    form = Form(settings.cohort.target, terms.value_bits, terms.range)
    noise = SkellamNoise(form, terms.clip, numbers, max(2, settings.cohort.least), o["secure_noise"])
    delta, sums = o["secure_delta"], -(-settings.rounds // o["separation"])
    click.echo(
        f"Noise by the devices: (ε = {noise.epsilon(sums, delta):.4g}, δ = {delta:g}) after {settings.rounds} rounds,"
        f" for whoever is in {sums} of them; against the coordinator, too; neighbours differ in all that one device"
        " reports, replaced by zeros; training losses are not told.",
        err=True,
    )
    return replace(terms, noise=noise.of_each)


def _refuse(o: dict[str, Any], chosen: Plan) -> None:
    encoding = parse(o["compress"])
    reasons = [
        (chosen.aggregator.robust, f"--aggregator {chosen.aggregator.name}",
         "it compares single updates, and there is only their sum; use the mean"),
        (o["norm_bound"] is not None, "--norm-bound",
         "the coordinator sees no update to measure; let the devices clip: --compress clip-NORM"),
        (chosen.algorithm.client.parts > 1, chosen.algorithm.name,
         "its control variates have another range than updates, and one sum cannot carry both; use another algorithm"),
        (encoding.kind != "float32", f"--compress {o['compress']}",
         "a sum of such codes is no code; --secure-bits says how many bits a number has"),
        (o["buffer"] is not None, "--buffer",
         "masks cancel among devices that report together; use --cohort"),
        (o["secure_noise"] is not None and not encoding.clip, "--secure-noise",
         "noise hides an update of a bounded norm; say which: --compress clip-NORM"),
        (o["secure_noise"] is not None and o["weighting"] == "examples", "--secure-noise and --weighting examples",
         "a report of many examples would be hidden less; leave --weighting out"),
        (o["cohort"] < 2, f"--cohort {o['cohort']}", "the sum of one update is that update; use at least 2"),
    ]  # fmt: skip
    for wrong, what, why in reasons:
        if wrong:
            raise ConfigError(f"--secure-aggregation with {what}: {why}")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UnavailableError(f"{path}: cannot be read ({error.strerror}); is this a fleet's directory?") from error
