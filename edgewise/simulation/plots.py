"""Curves as pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from edgewise.simulation.result import Row, metric_names
from edgewise_wire.errors import ConfigError, UnavailableError

COLORS = ("#3b6ea8", "#c2562d", "#4d8f5b", "#8a5fa8", "#b08a2e", "#3d9c9c", "#7a7a7a", "#b5476f")
OVER = {"round": "round", "hours": "virtual hours", "bytes": "megabytes to and from devices"}
SHARES = ("top", "accuracy", "recall")


def series(history: Sequence[Row], metric: str, over: str) -> tuple[list[float], list[float]]:
    """Return the points of a metric over rounds, hours or bytes.

    Raises:
        ConfigError: if there is no such axis.
    """
    if over not in OVER:
        raise ConfigError(f"plot over {over!r}: expected one of {', '.join(OVER)}")
    moved = list(accumulate((row["bytes_up"] + row["bytes_down"]) / 1e6 for row in history))
    found = [
        (moved[at] if over == "bytes" else row[over], row[metric]) for at, row in enumerate(history) if metric in row
    ]
    return [x for x, _ in found], [y for _, y in found]


def choose_metric(histories: Mapping[str, Sequence[Row]]) -> str:
    """Return what to draw if nobody says: the first metric that is not the loss, else the loss."""
    names = [name for history in histories.values() for name in metric_names(history)]
    return next((name for name in names if name != "loss"), "loss")


def draw_curves(
    histories: Mapping[str, Sequence[Row]], path: Path, metric: str | None = None, *, over: str = "round"
) -> Path:
    """Draw one curve a history, by its name, and return the path.

    Raises:
        ConfigError: if there is no such axis or metric.
        UnavailableError: if the file cannot be written.
    """
    figure = curves(histories, metric or choose_metric(histories), over)
    try:
        figure.savefig(path, dpi=120)
    except OSError as error:
        raise UnavailableError(f"{path}: cannot be written ({error.strerror})") from error
    return path


def curves(histories: Mapping[str, Sequence[Row]], metric: str, over: str) -> Any:
    """Return the figure of `draw_curves`."""
    from matplotlib.figure import Figure

    if not any(metric in row for history in histories.values() for row in history):
        names = sorted({name for history in histories.values() for name in metric_names(history)})
        raise ConfigError(f"plot of {metric!r}: not measured; there is {', '.join(names) or 'nothing'}")
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    scale = 100 if metric.startswith(SHARES) else 1
    for number, (name, history) in enumerate(histories.items()):
        xs, ys = series(history, metric, over)
        mark = "o-" if len(xs) < 40 else "-"
        axes.plot(xs, [scale * y for y in ys], mark, ms=3, color=COLORS[number % len(COLORS)], label=name)
    axes.set(xlabel=OVER[over], ylabel=f"{metric}{', %' if scale == 100 else ''} on held-out examples")
    axes.grid(alpha=0.3)
    if len(histories) > 1:
        figure.legend(loc="outside lower center", ncols=4, fontsize="small")
    return figure


def spread(gains: Sequence[float], metric: str) -> Any:
    """Return a figure of what each device gained, sorted: who gains is above the line, who loses below."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3.2), layout="constrained")
    axes = figure.subplots()
    ordered = sorted(gains)
    scale = 100 if metric.startswith(SHARES) else 1
    xs = [100 * (n + 0.5) / max(1, len(ordered)) for n in range(len(ordered))]
    ys = [scale * gain for gain in ordered]
    axes.axhline(0, color="#7a7a7a", lw=0.8)
    axes.fill_between(xs, 0, ys, where=[y >= 0 for y in ys], color=COLORS[2], alpha=0.6, step="mid")
    axes.fill_between(xs, 0, ys, where=[y < 0 for y in ys], color=COLORS[1], alpha=0.6, step="mid")
    unit = ", points" if scale == 100 else ""
    axes.set(xlabel="devices, from the one that lost most, %", ylabel=f"gain in {metric}{unit}", xlim=(0, 100))
    axes.grid(alpha=0.3)
    return figure
