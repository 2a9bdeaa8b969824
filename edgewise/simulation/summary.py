"""What came of runs, in cells as people read them: for the tables of the command and of the report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from edgewise.live import METRIC_NAMES, megabytes, number, percent
from edgewise.simulation.plots import SHARES
from edgewise.simulation.result import Row, committed_rounds, metric_names

SHOWN_HOURS = 1e-3  # of virtual time: an ideal fleet takes less in any run, and nothing is said of it


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


def summarised(histories: Mapping[str, Sequence[Row]]) -> list[dict[str, str]]:
    """Return a line of cells a run: what it reached, and what that took."""
    metrics = list(dict.fromkeys(name for rows in histories.values() for name in metric_names(rows)))
    lines = [_line(label, rows, metrics) for label, rows in histories.items()]
    return timed(lines, [rows[-1]["hours"] if rows else 0.0 for rows in histories.values()])


def timed(lines: list[dict[str, str]], hours: Iterable[float]) -> list[dict[str, str]]:
    """Return the cells, without the column of virtual time where none of them took any."""
    if any(one > SHOWN_HOURS for one in hours):
        return lines
    return [{name: cell for name, cell in line.items() if name != "virtual"} for line in lines]


def _line(label: str, rows: Sequence[Row], metrics: Sequence[str]) -> dict[str, str]:
    last = next((row for row in reversed(rows) if row.get("evaluated")), {})
    reports, lost = sum(row["reported"] for row in rows), sum(map(_lost, rows))
    return {
        "": label,
        "rounds": str(committed_rounds(rows)),
        **{heading(name): value(name, last.get(name)) for name in metrics},
        "virtual": duration(rows[-1]["hours"] if rows else 0.0),
        "MB up": megabytes(sum(row["bytes_up"] for row in rows)),
        "MB down": megabytes(sum(row["bytes_down"] for row in rows)),
        "reports": str(reports),
        "lost": f"{100 * lost / (reports + lost):.0f} %" if reports + lost else "–",
    }


def _lost(row: Row) -> int:
    """Return of how many devices nothing was counted; those of a buffered round that are still at work are not lost."""
    return sum(row["failed"].values()) if row["phase"] == "committed" else row["selected"]
