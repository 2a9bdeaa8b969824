"""What a person sees of a simulation: a bar with the time left, plain lines where nobody watches; tables at the end."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from edgewise.live import cells, counted, fitted, rounds_table
from edgewise.simulation.result import Result, metric_names
from edgewise.simulation.summary import SHOWN_HOURS, duration, heading, summarised, timed, value

ROWS_SHOWN = 8  # of the latest rounds, above the bar
BAR, BESIDE_BAR = 40, 48  # characters: of the bar at most, and of what stands beside it
FIRST_TO_GO = ("MB down", "lost", "MB up", "reports", "virtual")  # of the summary, in a terminal that is too narrow


class SimulationView:
    """Shows rounds go by, as demo and coordinator do, over a bar with the time left; a context manager.

    Rounds may end by the hundred in a second: what is drawn of them is made four times a second, of the latest alone.
    """

    def __init__(self, total: int, label: str = "", *, quiet: bool = False) -> None:
        self.console = Console(stderr=True, quiet=quiet)
        self._label = label
        self._total = total
        self._done = 0
        self._rows: deque[Mapping[str, Any]] = deque(maxlen=ROWS_SHOWN)
        self._bar = Progress(
            TextColumn("[bold]{task.description}"), BarColumn(self._room()), MofNCompleteColumn(), TextColumn("rounds"),
            TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(), auto_refresh=False,
        )  # fmt: skip
        self._task = self._bar.add_task(label or "simulating", total=total)
        watched = self.console.is_terminal and not quiet
        self._live = (
            Live(console=self.console, get_renderable=self._drawn, refresh_per_second=4, transient=True)
            if watched
            else None
        )

    def _room(self) -> int:
        return max(4, min(BAR, self.console.width - BESIDE_BAR - len(self._label)))

    def __enter__(self) -> SimulationView:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def add(self, row: Mapping[str, Any]) -> None:
        """Take a round that has ended."""
        self._rows.append(row)
        if row["phase"] == "committed":
            self._done = row["version"]
            self._bar.update(self._task, completed=self._done)
        who = f"{self._label}: " if self._label else ""
        if row["reason"]:
            self.console.print(
                f"{who}round {row['round']} was abandoned: {row['reason']}.", style="yellow", soft_wrap=True
            )
        if self._live is None and (row.get("evaluated") or row["round"] % 100 == 0):
            measured = [f"{heading(name)} {value(name, row[name])}" for name in metric_names([row])]
            place = f"round {row['round']}" if row["round"] == row["version"] else f"version {row['version']}"
            took = [f"{duration(row['hours'])} virtual"] if row["hours"] > SHOWN_HOURS else []
            words = [f"{who}{place} of {self._total}", *measured, *took]
            self.console.print("  ".join(words), soft_wrap=True, highlight=False)

    def table(self) -> Table:
        """Return the table of the latest rounds."""
        rows = list(self._rows)
        names = list(dict.fromkeys(name for row in rows for name in metric_names([row]) if name != "loss"))
        title = f"{self._label + ': ' if self._label else ''}{self._done} of {counted(self._total, 'round')}"
        shown = timed([_cells(row, names) for row in rows], [row["hours"] for row in rows])
        return rounds_table(shown, title, self.console.width)

    def _drawn(self) -> RenderableType:
        return Group(self.table(), self._bar) if self._rows else self._bar


def _cells(row: Mapping[str, Any], names: Sequence[str]) -> dict[str, str]:
    """Return a round's cells: those of every live view, its metrics in their own units, and the fleet's time."""
    shared = list(cells(row, ()).items())
    place = [name for name, _ in shared].index("MB up")
    measured = [(heading(name), value(name, row.get(name))) for name in names]
    return dict([*shared[:place], *measured, *shared[place:], ("virtual", duration(row["hours"]))])


def summary(results: Mapping[str, Result], width: int = 0) -> Table:
    """Return a table with a line a result: what it reached, and what that took, if `width` characters hold it."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    rows = summarised({label: result.history for label, result in results.items()})
    shown = fitted(rows, width - 1, FIRST_TO_GO, gap=2) if width else rows
    for name in shown[0] if shown else ():
        table.add_column(name, justify="right" if name else "left", no_wrap=True)
    for row in shown:
        table.add_row(*row.values())
    return table
