"""What MkDocs asks while it builds: parts of pages that are made from the code, so that they cannot fall behind it.

`{{ configuration COMMAND }}`  every setting of a command with its default, as `--print-config` prints it
`{{ metrics }}`                every metric that `/metrics` offers
`{{ manifest }}`               the manifest's fields with their types
`{{ errors }}`                 the tree of errors
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import re
from collections.abc import Callable
from typing import Any

HOLDER = re.compile(r"^\{\{ (\w+)(?: (\w+))? \}\}$", re.MULTILINE)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Fill in what is made from the code."""
    return HOLDER.sub(lambda found: MAKERS[found[1]](*filter(None, [found[2]])), markdown)


def configuration(command: str) -> str:
    """Return a command's settings as a TOML block."""
    from edgewise.operating import configuration as settings

    module = importlib.import_module(f"edgewise.commands.{command}")
    return f"```toml\n{settings(module.command)}```"


def metrics() -> str:
    """Return the metrics as a table, from a snapshot that has one of everything."""
    from edgewise_coordinator.metrics import SnapshotCollector

    collector = SnapshotCollector()
    some: Any = {"a": 1}
    collector.snapshot = {
        "round": None, "devices": {"known": 1, "online": 1, "available": 1}, "version": 1, "rounds_wanted": 1,
        "paused": "", "connected": True, "time": 0.0, "last_rounds": [{"loss": 1.0}], "rounds": some, "bytes": some,
        "refused": some, "broker_refused": some, "unsent": 0,
    }  # fmt: skip
    rows = ["| metric | kind | labels | meaning |", "| --- | --- | --- | --- |"]
    for family in collector.collect():
        name = family.name + ("_total" if family.type == "counter" else "")
        labels = ", ".join(f"`{label}`" for sample in family.samples[:1] for label in sample.labels)
        rows.append(f"| `{name}` | {family.type} | {labels} | {family.documentation} |")
    return "\n".join(rows)


def manifest() -> str:
    """Return the manifest's fields as a table."""
    from edgewise_wire.manifest import Manifest

    rows = ["| field | type | without it |", "| --- | --- | --- |"]
    for field in dataclasses.fields(Manifest):
        default = "refused" if field.default is dataclasses.MISSING else f"`{field.default!r}`"
        rows.append(f"| `{field.name}` | `{field.type}` | {default} |")
    return "\n".join(rows)


def errors() -> str:
    """Return the tree of errors as a list."""
    from edgewise_wire import errors as module

    def lines(kind: type, depth: int) -> list[str]:
        words = (inspect.getdoc(kind) or "").splitlines()[0]
        found = [f"{'    ' * depth}- `{kind.__name__}` (status {getattr(kind, 'exit_status', 1)}): {words}"]
        for child in kind.__subclasses__():
            if child.__module__ == module.__name__:
                found += lines(child, depth + 1)
        return found

    return "\n".join(lines(module.EdgewiseError, 0))


MAKERS: dict[str, Callable[..., str]] = {
    "configuration": configuration, "metrics": metrics, "manifest": manifest, "errors": errors,
}  # fmt: skip
