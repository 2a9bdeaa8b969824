"""The options that say how a fleet's updates are summed without being seen, and what does not go together with that."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from edgewise.commands.secured import SecuredFleet
from edgewise.recipes import Plan
from edgewise.shared_privacy import BITS, check_shared, clip_norm, noised, shared_privacy
from edgewise_coordinator.settings import Settings
from edgewise_wire.encodings import parse
from edgewise_wire.errors import ConfigError, UnavailableError
from edgewise_wire.messages import SecureTerms
from edgewise_wire.secure.form import Form

log = logging.getLogger("edgewise.coordinator")

Command = TypeVar("Command", bound=Callable[..., Any])

PLAIN_BITS = 20  # --secure-bits where no noise hides the rounding
WEIGHT_MAX = 1000  # examples beyond it weigh no more, unless --max-examples says less

OPTIONS = [
    click.option("--secure-aggregation", is_flag=True, help="Learn the sum of the updates and no single one."),
    click.option(
        "--secure-bits", type=int,
        help="Bits of a number in it; the sum takes log2(cohort) more.  [default: 20; 16 with --privacy]",
    ),
    click.option("--secure-range", default=4.0, show_default=True, help="Numbers beyond ± it are clipped."),
    click.option(
        "--secure-dropout", default=0.25, show_default=True, help="Share of a round's devices that may fall silent."
    ),
    click.option(
        "--secure-timeout", default=30.0, show_default=True, help="Seconds for each of its exchanges of messages."
    ),
]  # fmt: skip


def secure_options(command: Command) -> Command:
    """Add the options to a click command."""
    for add in reversed(OPTIONS):
        command = add(command)
    return command


def secure_way(
    o: dict[str, Any], chosen: Plan, settings: Settings, fleet: SecuredFleet, numbers: int, directory: Path
) -> dict[str, Any]:
    """Return the coordinator's arguments for secure rounds, nothing for plain ones.

    Args:
        o: the options.
        chosen: the algorithm and what belongs to it.
        settings: of the run.
        fleet: who belongs to it.
        numbers: how many an update has.
        directory: of the run.

    Raises:
        ConfigError: if something was chosen that must see single updates; the message says what, and why.
        UnavailableError: if the package that it takes is not installed.
    """
    if not o["secure_aggregation"]:
        return {}
    _refuse(o, chosen)
    try:
        from edgewise_coordinator.collecting.secure import secure_updates
        from edgewise_coordinator.collecting.secure_round import SecureSettings
        from edgewise_wire.crypto.enrolled import Register
        from edgewise_wire.secure.graph import plan
    except ModuleNotFoundError as error:
        raise UnavailableError(
            f"--secure-aggregation needs the package {error.name!r}: pip install 'edgewise[coordinator]'"
        ) from error
    cohort = settings.cohort
    private = o["privacy"] != "none"
    clip = clip_norm(o) if private else parse(o["compress"]).clip or 0.0
    equal = chosen.algorithm.client.uniform
    terms = SecureTerms(
        value_bits=o["secure_bits"] if o["secure_bits"] is not None else BITS if private else PLAIN_BITS,
        range=min(o["secure_range"], clip or o["secure_range"]),  # no number of a clipped update is beyond its norm
        weight_max=1 if equal else min(o["max_examples"] or WEIGHT_MAX, WEIGHT_MAX),
        clip=clip,
    )
    promise = shared_privacy(o, terms, settings, numbers, directory) if private else None
    terms = terms if promise is None else noised(terms, promise)
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
    return {"collect": secure_updates(way, register), "privacy": promise}


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
        (o["cohort"] < 2, f"--cohort {o['cohort']}", "the sum of one update is that update; use at least 2"),
    ]  # fmt: skip
    for wrong, what, why in reasons:
        if wrong:
            raise ConfigError(f"--secure-aggregation with {what}: {why}")
    if o["privacy"] != "none":
        check_shared(o)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UnavailableError(f"{path}: cannot be read ({error.strerror}); is this a fleet's directory?") from error
