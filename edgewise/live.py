"""The live table of rounds: one look for demo, coordinator and simulator; plain lines where nobody watches."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

ROWS_SHOWN = 15


def megabytes(count: float) -> str:
    """Return bytes as people read them (decimal units).

    Example:
        >>> megabytes(5_690_000)
        '5.69 MB'
    """
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count:.0f} B"


def percent(value: float | None) -> str:
    """Return a share as people read it; a dash where there is none."""
    return "–" if value is None else f"{100 * value:.2f} %"


def number(value: float | None) -> str:
    """Return a loss as people read it; a dash where there is none."""
    return "–" if value is None else f"{value:.3f}"


def cells(row: Mapping[str, Any], metrics: Sequence[str]) -> list[str]:
    """Return one round's cells in the order of the table's columns."""
    return [
        str(row["round"]),
        row["phase"] if row["round"] else "before",
        str(row["selected"] or "–"),
        str(row["reported"] or "–"),
        number(row.get("loss", row.get("train_loss"))),
        *(percent(row.get(name)) for name in metrics),
        megabytes(row["bytes_up"]),
        megabytes(row["bytes_down"]),
        f"{row['seconds']:.1f}",
    ]


class RoundsView:
    """A table that grows while rounds go by. Use as a context manager; `show` may be called as often as one likes.

    Without a terminal (a pipe, a log) it writes one line a round instead.
    """

    def __init__(self, metrics: Sequence[str], *, total: int, quiet: bool = False) -> None:
        self._metrics = list(metrics)
        self._total = total
        self._console = Console(stderr=True, quiet=quiet)
        self._rows: list[list[str]] = []
        self._live = (
            Live(console=self._console, auto_refresh=False, vertical_overflow="visible")
            if self._console.is_terminal and not quiet
            else None
        )

    def __enter__(self) -> RoundsView:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.update(self._table(), refresh=True)
            self._live.stop()

    def add(self, row: Mapping[str, Any]) -> None:
        """Add a finished round."""
        self._rows.append(cells(row, self._metrics))
        if row.get("reason"):
            self._rows[-1][1] = "abandoned"
            self._console.print(f"round {row['round']} was abandoned: {row['reason']}", style="yellow", highlight=False)
        if self._live is None:
            self._console.print(
                "  ".join(f"{h} {c}" for h, c in zip(self.headings, self._rows[-1], strict=True)),
                soft_wrap=True,
                highlight=False,
            )

    def show(self, status: str) -> None:
        """Say what is happening now, below the table."""
        if self._live:
            self._live.update(
                Group(self._table(), Text(status, style="dim", overflow="ellipsis", no_wrap=True)), refresh=True
            )

    @property
    def headings(self) -> list[str]:
        """The columns' headings."""
        names = {"top1": "top-1", "top3": "top-3"}
        return [
            "round", "phase", "selected", "reported", "loss", *(names.get(m, m) for m in self._metrics),
            "up", "down", "s",
        ]  # fmt: skip

    def _table(self) -> RenderableType:
        table = Table(title=f"{max(len(self._rows) - 1, 0)} of {self._total} rounds", title_justify="left")
        for heading in self.headings:
            table.add_column(heading, justify="left" if heading == "phase" else "right", no_wrap=True)
        for row in self._rows[-ROWS_SHOWN:]:
            table.add_row(*row)
        return table


def interactive() -> bool:
    """Return whether a person watches standard error."""
    return sys.stderr.isatty()
