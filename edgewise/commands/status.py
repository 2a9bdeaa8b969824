"""`edgewise status`: what a running coordinator does."""

from __future__ import annotations

import json
import time
import urllib.request
from pathlib import Path
from typing import Any

import click

from edgewise.promises import spent_words
from edgewise_coordinator.snapshot import illness, read
from edgewise_wire.errors import ConfigError, UnavailableError

ANSWER_SECONDS = 10.0


@click.command(short_help="Show what a running coordinator does.")
@click.option(
    "--dir",
    "directory",
    default=Path("runs/fleet"),
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="The coordinator's directory, on its own machine.",
)
@click.option("--url", help="Its metrics address instead, from anywhere: http://host:9464")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def command(directory: Path, url: str | None, as_json: bool) -> None:
    """Show a coordinator's fleet and round. Ends with status 1 if it does not run, or cannot go on.

    \b
    Example:
      edgewise status --dir runs/fleet
      edgewise status --url http://127.0.0.1:9464 --json
    """
    found = _ask(url) if url else read(directory)
    ill = illness(found, time.time())
    if as_json:
        click.echo(json.dumps(found | {"ill": ill}))
    else:
        _print(found, ill)
    if ill:
        raise click.exceptions.Exit(1)


def _ask(url: str) -> dict[str, Any]:
    if not url.startswith(("http://", "https://")):
        raise ConfigError(f"coordinator {url[:80]!r}: expected http://host:port, the address of its --metrics")
    try:
        with urllib.request.urlopen(f"{url.rstrip('/')}/status", timeout=ANSWER_SECONDS) as answer:  # noqa: S310
            return dict(json.load(answer))
    except (OSError, ValueError) as error:
        raise UnavailableError(f"{url}: no coordinator answers there ({error}); it needs --metrics") from error


def _promise(p: dict[str, Any]) -> list[tuple[str, str]]:
    return [("privacy", spent_words(p)), ("which assumes", p["assumes"])]


def _print(s: dict[str, Any], ill: str) -> None:
    done = s["rounds"]
    rows = [
        ("fleet", s["fleet"]),
        ("coordinator", f"not well: {ill}" if ill else "well"),
        ("doing", s["doing"]),
        ("model", f"version {s['version']} of {s['rounds_wanted']}"),
        ("rounds", f"{done['committed']} committed, {done['abandoned']} abandoned"),
        *(_promise(s["privacy"]) if s.get("privacy") else []),
        ("devices", ", ".join(f"{count} {what}" for what, count in s["devices"].items())),
        ("bytes", f"{s['bytes']['up']:,} up, {s['bytes']['down']:,} down"),
        *((f"refused {count} ×", reason) for reason, count in sorted(s["refused"].items())),
        *((f"by the broker {count} ×", reason) for reason, count in sorted(s["broker_refused"].items())),
    ]
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        click.echo(f"{name:<{width}}  {value}")
    for device in s["fleet_devices"]:
        last = f"last in round {device['round']}" if device["round"] else ""
        click.echo(f"  {device['device']:<24} {device['state']:<10} {last}".rstrip())
