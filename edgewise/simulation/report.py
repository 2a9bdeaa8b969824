"""A run, or several of them, as one HTML page that needs nothing else: curves, tables, who gains and who loses."""

from __future__ import annotations

import html
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgewise.live import counted, megabytes
from edgewise.promises import spent_words
from edgewise.simulation.kept_files import read_lines, read_object
from edgewise.simulation.plots import SHARES, choose_metric, curves, spread
from edgewise.simulation.result import DeviceTable, Row, metric_names
from edgewise.simulation.run import DEVICES, ROUNDS, RUN
from edgewise.simulation.summary import SHOWN_HOURS, duration, heading, summarised, value
from edgewise_wire.errors import DataError
from edgewise_wire.files import write_durably

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1d2433; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.2rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 0.9rem; }
th, td { padding: 0.25rem 0.7rem; text-align: right; border-bottom: 1px solid #dfe3ea; }
th:first-child, td:first-child { text-align: left; } svg { max-width: 100%; height: auto; }
.scroll { max-height: 24rem; overflow: auto; } .quiet { color: #667; } details { margin: 1rem 0; }
@media (prefers-color-scheme: dark) { body { background: #fff; } }
"""
OVER_TITLES = {"round": "rounds", "hours": "virtual hours", "bytes": "bytes"}
DEVICES_SHOWN = 10  # at each end of the table of devices


@dataclass(frozen=True)
class Told:
    """One run as its files tell it; `devices` is `None` where it never ended."""

    label: str
    history: list[Row]
    options: Mapping[str, Any]
    devices: DeviceTable | None


def read_runs(path: Path) -> list[Told]:
    """Return the run in a folder, or those in its folders (of a comparison).

    Raises:
        DataError: if there is none, or one cannot be read.
    """
    folders = [path] if (path / ROUNDS).exists() else sorted(p.parent for p in path.glob(f"*/{ROUNDS}"))
    if not folders:
        raise DataError(f"{path}: expected a run (a folder with {ROUNDS}), or a folder of runs")
    return [_told(folder, folder.name) for folder in folders]


def _told(folder: Path, label: str) -> Told:
    history = read_lines(folder / ROUNDS)
    options = read_object(folder / RUN).get("options", {}) if (folder / RUN).exists() else {}
    devices = DeviceTable.load(folder / DEVICES) if (folder / DEVICES).exists() else None
    if not history:
        raise DataError(f"{folder}: the run has no rounds yet")
    return Told(label, [{"hours": row.get("hours", 0.0), **row} for row in history], options, devices)


def write_report(path: Path, out: Path) -> Path:
    """Write the report of the run or runs in `path` to the file `out`, and return it.

    Raises:
        DataError: if there is no run.
        UnavailableError: if the file cannot be written.
    """
    write_durably(out, page(read_runs(path), str(path)).encode())
    return out


def page(runs: Sequence[Told], title: str) -> str:
    """Return the page."""
    histories = {run.label: run.history for run in runs}
    parts = [f"<h1>edgewise: {html.escape(title)}</h1>", _lead(runs), "<h2>What it came to</h2>", _summary(runs)]
    for run in runs:
        parts += _promise(run, alone=len(runs) == 1)
    if any(metric_names(run.history) for run in runs):
        metric = choose_metric(histories)
        takes_time = any(run.history[-1]["hours"] > SHOWN_HOURS for run in runs)  # of an ideal fleet, none does
        for over in ("round", "hours", "bytes") if takes_time else ("round", "bytes"):
            over_what = f"{heading(metric)} over {OVER_TITLES[over]}"
            parts += [f"<h2>{html.escape(over_what)}</h2>", _svg(curves(histories, metric, over))]
        if metric != "loss":
            parts += ["<h2>Loss over rounds</h2>", _svg(curves(histories, "loss", "round"))]
        for run in runs:
            parts += _spread(run, metric, alone=len(runs) == 1)
    for run in runs:
        parts += [f"<h2>Rounds{_of(run, len(runs) == 1)}</h2>", _rounds(run), _options(run)]
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>edgewise: {html.escape(title)}</title><style>{STYLE}</style></head>\n"
        f"<body>{''.join(parts)}</body></html>\n"
    )


def _lead(runs: Sequence[Told]) -> str:
    run = runs[0]
    fleet = run.options.get("fleet", "")
    devices = counted(len(run.devices.names), "device") if run.devices else "devices"
    words = f"{counted(len(runs), 'run')} over {devices}" + (f", virtual fleet “{html.escape(fleet)}”" if fleet else "")
    return (
        f"<p>{words}. Metrics are over the devices' held-out examples, every example counted once.</p>"
        "<p>Each curve begins with the model before any training: what the rounds must beat. The rounds are drawn"
        " over their number (abandoned ones have numbers, too), over the fleet's virtual hours where it takes any, and"
        " over the bytes that went both ways. “Lost” is the share of the devices asked whose report did not count:"
        " drop-outs, those that over-selection asked in vain, and everybody in a round that was abandoned; not those"
        " that a buffered round leaves at work.</p>" + _before(runs)
    )


def _before(runs: Sequence[Told]) -> str:
    first = next((row for row in runs[0].history if row.get("evaluated")), None)
    if first is None or first["round"]:
        return ""
    measured = ", ".join(f"{html.escape(heading(m))} {value(m, first.get(m))}" for m in metric_names([first]))
    return f"<p>Before training: {measured}.</p>"


def _summary(runs: Sequence[Told]) -> str:
    lines = summarised({run.label: run.history for run in runs})
    return _table(list(lines[0]), [list(line.values()) for line in lines])


def _promise(run: Told, *, alone: bool) -> list[str]:
    found = next((row["privacy"] for row in reversed(run.history) if row.get("privacy")), None)
    if found is None:
        return []
    words = f"{spent_words(found)}. It rests on this: {found['assumes']}."
    return [f"<h2>Privacy{_of(run, alone)}</h2>", f"<p>{html.escape(words)}</p>"]


def _spread(run: Told, metric: str, *, alone: bool) -> list[str]:
    table = run.devices
    if table is None or metric not in table.after or metric not in table.before:
        return []
    gains = table.gains(metric)
    known = np.flatnonzero(np.isfinite(gains))
    if not len(known):
        return []
    won, lost = int((gains[known] > 0).sum()), int((gains[known] < 0).sum())
    scale, unit = (100, " points") if metric.startswith(SHARES) else (1, "")
    quantiles = np.quantile(gains[known], [0.1, 0.5, 0.9]) * scale
    words = (
        f"Of {len(known)} devices that measured, {won} gained and {lost} lost from the first version to the last; "
        f"a tenth gained less than {quantiles[0]:.3g}{unit}, half {quantiles[1]:.3g}, a tenth more than "
        f"{quantiles[2]:.3g}."
    )
    took = table.took_part
    words += f" A device's report counted {took.min()} to {took.max()} times, {took.mean():.3g} on average."
    order = known[np.argsort(gains[known], kind="stable")]
    shown = [*order[:DEVICES_SHOWN], *order[max(DEVICES_SHOWN, len(order) - DEVICES_SHOWN) :]]
    rows = [
        [
            str(table.names[n]), str(table.examples[n]), str(took[n]), value(metric, float(table.before[metric][n])),
            value(metric, float(table.after[metric][n])), f"{scale * gains[n]:+.2f}",
        ]
        for n in shown
    ]  # fmt: skip
    head = ["device", "examples", "reports", "before", "after", f"gain in {heading(metric)}"]
    return [
        f"<h2>Who gains, who loses{_of(run, alone)}</h2><p>{words}</p>",
        _svg(spread(gains[known].tolist(), metric)),
        f"<details><summary>The {len(shown)} devices that lost and gained most</summary>{_table(head, rows)}</details>",
    ]


def _rounds(run: Told) -> str:
    metrics, private = metric_names(run.history), any(row.get("privacy") for row in run.history)
    head = [
        "round",
        "phase",
        "asked",
        "reports",
        "train loss",
        *(heading(m) for m in metrics),
        *(["ε"] if private else []),
        "MB up",
        "MB down",
        "at",
    ]
    rows = [
        [
            str(row["round"]), row["phase"] + (f": {row['reason']}" if row["reason"] else ""), str(row["selected"]),
            str(row["reported"]) if row["phase"] == "committed" else "none counted",
            value("loss", row["train_loss"]), *(value(m, row.get(m)) for m in metrics),
            *([value("ε", (row.get("privacy") or {}).get("epsilon"))] if private else []),
            megabytes(row["bytes_up"]), megabytes(row["bytes_down"]), duration(row["hours"]),
        ]
        for row in run.history
    ]  # fmt: skip
    words = (
        "A line a round: how many devices were asked, how many reports were averaged (an abandoned round averages none"
        " and leaves the model as it was), what the new version measured, what went over the links, and when it ended."
    )
    return f'<p class="quiet">{words}</p><div class="scroll">{_table(head, rows)}</div>'


def _options(run: Told) -> str:
    if not run.options:
        return ""
    flat = {**{k: v for k, v in run.options.items() if k != "recipe"}, **run.options.get("recipe", {})}
    rows = [[name, str(found)] for name, found in flat.items() if found not in (None, "")]
    return f"<details><summary>Options</summary>{_table(['option', 'value'], rows)}</details>"


def _of(run: Told, alone: bool) -> str:
    return "" if alone else f": {html.escape(run.label)}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    titles = "".join(f"<th>{html.escape(title)}</th>" for title in head)
    body = "".join(f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table>"


def _svg(figure: Any) -> str:
    """Return a figure as an SVG element without what would reach outside: no DOCTYPE, no metadata."""
    import matplotlib as mpl

    out = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "path", "svg.hashsalt": "edgewise"}):
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = out.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    return text[text.index("<svg") :]
