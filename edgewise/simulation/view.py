"""What a person sees of a simulation: a bar with the time left, plain lines where nobody watches; tables at the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from edgewise.live import METRIC_NAMES, megabytes, number, percent
from edgewise.simulation.plots import SHARES
from edgewise.simulation.result import Result, Row, metric_names


def value(name: str, found: float | None) -> str:
    """Return a metric as people read it: shares in per cent."""
    if found is None or found != found:
        return "–"
    return percent(found) if name.startswith(SHARES) else number(found)


def heading(name: str) -> str:
    """Return a metric's heading."""
    return METRIC_NAMES.get(name, f"{name} %" if name.startswith(SHARES) else name)


def duration(hours: float) -> str:
    """Return virtual time as people read it.

    Example:
        >>> duration(0.5), duration(100.0)
        ('30 min', '4.2 days')
    """
    if hours < 1 / 60:
        return f"{3600 * hours:.1f} s"
    if hours < 1:
        return f"{60 * hours:.0f} min"
    return f"{hours:.1f} h" if hours < 48 else f"{hours / 24:.1f} days"


class SimulationView:
    """Shows rounds go by; a context manager."""

    def __init__(self, total: int, label: str = "", *, quiet: bool = False) -> None:
        self.console = Console(stderr=True, quiet=quiet)
        self._label = f"{label}: " if label else ""
        self._total = total
        self._latest = ""
        self._progress = Progress(
            TextColumn("[bold]{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("rounds"),
            TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(), TextColumn("{task.fields[latest]}"),
            console=self.console, transient=True, disable=not self.console.is_terminal or quiet,
        )  # fmt: skip
        self._task = self._progress.add_task(label or "simulating", total=total, latest="")

    def __enter__(self) -> SimulationView:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def add(self, row: Mapping[str, Any]) -> None:
        """Take a round that has ended."""
        if row.get("evaluated"):
            names = metric_names([row])
            self._latest = "  ".join(f"{heading(name)} {value(name, row[name])}" for name in names)
        done = row["version"] if row["phase"] == "committed" else None
        self._progress.update(self._task, completed=done, latest=f"{self._latest}  {duration(row['hours'])} virtual")
        if row["reason"]:
            self.console.print(f"{self._label}round {row['round']} was abandoned: {row['reason']}.", style="yellow")
        if not self.console.is_terminal and (row.get("evaluated") or row["round"] % 100 == 0):
            words = (
                f"{self._label}round {row['round']} of {self._total}  {self._latest}  {duration(row['hours'])} virtual"
            )
            self.console.print(words, soft_wrap=True, highlight=False)


def summary(results: Mapping[str, Result]) -> Table:
    """Return a table with a line a result: what it reached, and what that took."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    metrics = list(dict.fromkeys(name for result in results.values() for name in result.metrics))
    table.add_column("", no_wrap=True)
    for name in ("rounds", *(heading(name) for name in metrics), "virtual", "MB up", "MB down", "reports", "lost"):
        table.add_column(name, justify="right", no_wrap=True)
    for label, result in results.items():
        table.add_row(label, *line(result, metrics))
    return table


def line(result: Result, metrics: Sequence[str]) -> list[str]:
    """Return the cells of one result."""
    rows: Sequence[Row] = result.history
    committed = sum(bool(row["round"]) and row["phase"] == "committed" for row in rows)
    reports, asked = (sum(row[name] for row in rows) for name in ("reported", "selected"))
    return [
        str(committed),
        *(value(name, result.measured[-1].get(name) if result.measured else None) for name in metrics),
        duration(result.hours),
        megabytes(sum(row["bytes_up"] for row in rows)),
        megabytes(sum(row["bytes_down"] for row in rows)),
        str(reports),
        f"{100 * (1 - reports / asked):.0f} %" if asked else "–",
    ]
