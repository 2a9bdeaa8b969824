"""A coordinator as a service: configuration in a file, a log for machines, a status that others can read."""

from __future__ import annotations

import contextlib
import json
import logging
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import click

from edgewise_coordinator import snapshot
from edgewise_coordinator.broker_log import RefusalCounts
from edgewise_coordinator.server import Coordinator
from edgewise_wire.errors import ConfigError, UnavailableError

SHOW_SECONDS = 0.3
SHARE = 19.0
NO_SETTINGS = ("config", "print_config", "help")


class Operations:
    """Shows what a coordinator does, a few times a second: `status.json`, and metrics where they are wanted."""

    def __init__(self, directory: Path, refusals: Path | None, metrics: Any = None) -> None:
        self._directory = directory
        self._refusals = RefusalCounts(refusals) if refusals is not None else None
        self._metrics = metrics
        self._due = 0.0

    def show(self, coordinator: Coordinator, rows: Sequence[Mapping[str, Any]], *, now: bool = False) -> None:
        """Take a snapshot if it is time: the longer one takes, the fewer there are, at most a twentieth of the time."""
        began = time.monotonic()
        if began < self._due and not now:
            return
        taken = snapshot.take(coordinator, rows, self._refusals.read() if self._refusals else {})
        snapshot.write(self._directory, taken)
        if self._metrics is not None:
            self._metrics.show(taken)
        ended = time.monotonic()
        self._due = ended + max(SHOW_SECONDS, SHARE * (ended - began))


@contextlib.contextmanager
def operations(directory: Path, refusals: Path | None, metrics: str | None) -> Iterator[Operations]:
    """Give a coordinator's `Operations`; with `metrics` (HOST:PORT) they answer there until the block ends.

    Raises:
        ConfigError: if that is no address.
        UnavailableError: if it cannot be listened on, or prometheus-client is not installed.
    """
    if metrics is None:
        yield Operations(directory, refusals)
        return
    try:
        from edgewise_coordinator.listen import parse_listen
        from edgewise_coordinator.metrics import MetricsServer
    except ModuleNotFoundError as error:
        raise UnavailableError(f"--metrics needs {error.name!r}: pip install 'edgewise[coordinator]'") from error
    with MetricsServer(*parse_listen(metrics)) as server:
        logging.getLogger("edgewise.coordinator").info("metrics on port %d", server.port)
        yield Operations(directory, refusals, server)


class JsonLines(logging.Formatter):
    """One JSON object a line: `time`, `level`, `logger`, `message`, and what a record brought as `event`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line = {
            "time": record.created,
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line | getattr(record, "event", {}))


def log_to_stderr(kind: str) -> None:
    """Send the log to standard error, as sentences or as JSON lines."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines() if kind == "json" else logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    machine = kind == "json"
    logging.basicConfig(level=logging.INFO if machine else logging.WARNING, handlers=[handler], force=machine)


def log_round(row: Mapping[str, Any]) -> None:
    """Tell of a finished round in the log."""
    log = logging.getLogger("edgewise.coordinator")
    log.info("round %s %s", row["round"], row["phase"], extra={"event": {"round": dict(row)}})


def read_configuration(context: click.Context, _: click.Parameter, path: Path | None) -> Path | None:
    """Take a TOML file's keys for the defaults of a command's options; what is said on the command line comes first.

    A key is an option's name without its dashes; tables are for the reader alone.

    Raises:
        ConfigError: if it cannot be read, or a key is no option.
    """
    if path is None:
        return None
    try:
        with path.open("rb") as file:
            found = _toml().load(file)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read as TOML ({error})") from error
    names = {name.lstrip("-"): o.name for o in context.command.params for name in o.opts if o.name not in NO_SETTINGS}
    values: dict[str, Any] = {}
    for key, value in _flat(found, path):
        if key not in names:
            raise ConfigError(f"{path}: {key!r} is no setting; `{context.command_path} --help` shows them")
        values[str(names[key])] = value
    context.default_map = {**(context.default_map or {}), **values}
    return path


def _flat(table: Mapping[str, Any], path: Path) -> Iterator[tuple[str, Any]]:
    seen: set[str] = set()
    for key, value in table.items():
        rows = value.items() if isinstance(value, dict) else [(key, value)]
        for name, content in rows:
            if name in seen or isinstance(content, dict):
                raise ConfigError(f"{path}: {name!r}: expected one value")
            seen.add(name)
            yield name, content


def _toml() -> ModuleType:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    return tomllib


def print_configuration(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    """Print every setting of a command with its default as TOML, and end."""
    if wanted:
        click.echo(configuration(context.command), nl=False)
        context.exit()


def configuration(command: click.Command) -> str:
    """Return every setting of a command as TOML: what it does, then the key; those without a default are comments."""
    lines = [f"# Every setting of `edgewise {command.name}`, with its default. Uncomment what you change."]
    for option in command.params:
        if isinstance(option, click.Option) and option.name not in NO_SETTINGS:
            default = option.default if isinstance(option.default, bool | int | float | str | Path) else None
            value = "…" if default is None else _toml_value(default)
            value = "false" if option.is_flag else value
            lines += ["", f"# {' '.join((option.help or '').split())}", f"# {option.opts[0].lstrip('-')} = {value}"]
    return "\n".join(lines) + "\n"


def _toml_value(value: object) -> str:
    return json.dumps(str(value) if isinstance(value, Path) else value, ensure_ascii=False)
