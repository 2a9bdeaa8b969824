"""The live table of rounds: one look for demo, coordinator and simulator; plain lines where nobody watches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

WIDE = 100  # columns from which on everything has room; below, some columns are merged
METRIC_NAMES = {"top1": "top-1 %", "top3": "top-3 %"}
LINES_KEPT = 7  # of the terminal's height: title, headings, rules, devices, status
FIRST_TO_GO = ("MB down", "s", "MB up", "reports", "top-3 %")  # what a terminal that is too narrow does without
MARKS = {
    "assigned": ("◌", "blue"), "training": ("●", "yellow"), "uploading": ("↑", "blue"), "offline": ("○", "dim"),
    "reported": ("✓", "green"), "failed": ("×", "red"),
}  # fmt: skip
"""How a device of the round is drawn: told apart by shape as well as by colour. The dashboard's dots say the same."""


def megabytes(count: float) -> str:
    """Return bytes in 10^6, with as many digits as tell something.

    Example:
        >>> megabytes(5_690_000), megabytes(14_500)
        ('5.69', '0.01')
    """
    return f"{count / 1e6:.2f}" if count < 1e8 else f"{count / 1e6:.0f}"


def percent(value: float | None) -> str:
    """Return a share in per cent, without the sign; a dash where there is none."""
    return "–" if value is None else f"{100 * value:.2f}"


def number(value: float | None) -> str:
    """Return a loss as people read it; a dash where there is none."""
    return "–" if value is None else f"{value:.3f}"


def counted(count: int, noun: str) -> str:
    """Return `1 round`, `2 rounds`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def cells(row: Mapping[str, Any], metrics: Sequence[str]) -> dict[str, str]:
    """Return one round's cells by their headings."""
    return {
        "round": str(row["round"]),
        "phase": row["phase"] if row["round"] else "before",
        "selected": str(row["selected"] or "–"),
        "reported": str(row["reported"] or "–"),
        "loss": number(row.get("loss", row.get("train_loss"))),
        **{METRIC_NAMES.get(name, name): percent(row.get(name)) for name in metrics},
        **({"ε": number(row["privacy"]["epsilon"])} if row.get("privacy") else {}),
        "MB up": megabytes(row["bytes_up"]),
        "MB down": megabytes(row["bytes_down"]),
        "s": f"{row['seconds']:.1f}",
    }


def narrowed(row: Mapping[str, str]) -> dict[str, str]:
    """Return the cells of a row for a narrow terminal: `reports` says how many of those selected reported."""
    found = {}
    for heading, cell in row.items():
        if heading == "selected":
            continue
        if heading == "reported":
            found["reports"] = f"{cell}/{row['selected']}" if cell != "–" else row["phase"]
        elif heading != "phase":
            found[heading] = cell
    if row["phase"] == "abandoned":
        found["reports"] = "abandoned"
    return found


def sentence(row: Mapping[str, str]) -> str:
    """Return a round's cells as a line of a log.

    Example:
        >>> sentence({"round": "3", "phase": "committed", "selected": "8", "reported": "6", "loss": "5.123"})
        'round 3  reports 6/8  loss 5.123'
    """
    found = narrowed(row)
    reports = found.pop("reports")
    middle = f"reports {reports}" if "/" in reports else reports
    return "  ".join([f"round {found.pop('round')}", middle, *(f"{name} {cell}" for name, cell in found.items())])


def fitted(
    rows: Sequence[Mapping[str, str]], width: int, first_to_go: Sequence[str] = FIRST_TO_GO, gap: int = 3
) -> list[dict[str, str]]:
    """Return rows without the columns that a terminal of so many characters has no room for, those of `first_to_go`.

    Example:
        >>> fitted([{"round": "3", "loss": "5.12", "MB down": "0.75"}], 16)
        [{'round': '3', 'loss': '5.12'}]
    """
    kept = list(rows[0]) if rows else []
    for name in first_to_go:
        if name in kept and _needed(rows, kept, gap) > width:
            kept.remove(name)
    return [{name: row[name] for name in kept} for row in rows]


def _needed(rows: Sequence[Mapping[str, str]], names: Sequence[str], gap: int = 3) -> int:
    """Return how many characters a table of these columns is wide."""
    return sum(max(len(name), *(len(row[name]) for row in rows)) for name in names) + gap * len(names) - 1


def devices_line(states: Sequence[str], width: int) -> Text:
    """Return the round's devices as a line of marks, each with its state's shape and colour."""
    line = Text(no_wrap=True, overflow="ellipsis")
    for state in states[:width]:
        mark, style = MARKS[state]
        line.append(mark, style=style)
    return line


class RoundsView:
    """A table that grows while rounds go by. Use as a context manager; `show` may be called as often as one likes.

    While it runs it shows the rounds that fit the terminal, at the end all of them. Without a terminal (a pipe, a log)
    it writes one line a round instead.
    """

    def __init__(self, metrics: Sequence[str], *, total: int, quiet: bool = False) -> None:
        self._metrics = list(metrics)
        self._total = total
        self._console = Console(stderr=True, quiet=quiet)
        self._rows: list[dict[str, str]] = []
        self._committed = 0
        watched = self._console.is_terminal and not quiet
        self._live = Live(console=self._console, auto_refresh=False, transient=True) if watched else None

    def __enter__(self) -> RoundsView:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()
            if self._rows:
                self._console.print(self.table())

    def go_on(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Take the rounds of an earlier run; a log has them already."""
        for row in rows:
            self._take(row)
        if rows and self._live is None:
            done = f"{self._committed} of {counted(self._total, 'round')} were done before"
            self._console.print(f"{done}; the latest: {sentence(self._rows[-1])}", soft_wrap=True, highlight=False)

    def _take(self, row: Mapping[str, Any]) -> None:
        self._rows.append(cells(row, self._metrics))
        self._committed += bool(row["round"]) and row["phase"] == "committed"

    def add(self, row: Mapping[str, Any]) -> None:
        """Add a finished round."""
        self._take(row)
        if row.get("reason"):
            self._console.print(
                f"Round {row['round']} was abandoned: {row['reason']}.", style="yellow", highlight=False
            )
        if self._live is None:
            self._console.print(sentence(self._rows[-1]), soft_wrap=True, highlight=False)

    def note(self, words: str) -> None:
        """Write a sentence, if there is one, where there is no terminal to show the status."""
        if words and self._live is None:
            self._console.print(words, soft_wrap=True, highlight=False)

    def show(self, status: str, devices: Sequence[str] = ()) -> None:
        """Say what is happening now, below the table; `devices` are the states (`MARKS`) of those in the round."""
        if self._live:
            room = max(3, self._console.height - LINES_KEPT)
            words = Text(status, style="dim", overflow="ellipsis", no_wrap=True)
            marks = devices_line(devices, self._console.width)
            self._live.update(Group(self.table(room), marks, words), refresh=True)

    def table(self, latest: int | None = None) -> RenderableType:
        """Return the table of all rounds, or of the latest so many."""
        rows = self._rows if latest is None else self._rows[-latest:]
        return rounds_table(rows, f"{self._committed} of {counted(self._total, 'round')}", self._console.width)


def rounds_table(rows: Sequence[Mapping[str, str]], title: str, width: int) -> Table:
    """Return the table of some rounds, given as `cells`, for a terminal of so many columns."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    whole = width >= WIDE and (not rows or _needed(rows, list(rows[0])) <= width)
    shown = rows if whole else fitted([narrowed(row) for row in rows], width)
    for heading in shown[0] if shown else ():
        table.add_column(heading, justify="left" if heading == "phase" else "right", no_wrap=True)
    for row in shown:
        table.add_row(*row.values())
    return table
