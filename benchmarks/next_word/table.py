"""The table, its JSON and the figure, made of results alone."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from results import Entry, recall_in

NAMES = {
    "frequent": "most frequent words",
    "trigram": "Kneser-Ney trigram",
    "own_trigram": "each owner's own trigram",
    "central": "CIFG, trained centrally",
    "federated": "CIFG, federated",
    "central_trigram": "CIFG, trained centrally, and the trigram",
    "federated_own": "CIFG, federated, and one's own trigram",
    "personalised": "CIFG, federated, then personalised",
}
RECALLS = ("top1", "top3")
BY_AMOUNT = ("trigram", "central")
TEAL, AMBER, GREY = "#0f8a7e", "#c07a1a", "#7d8a86"  # as in scripts/draw-figures


Group: TypeAlias = list[Entry]
"""The results of one row: they differ in nothing but the seed."""


def percents(entries: list[Entry], key: str, part: str = "test") -> list[float]:
    """Return a recall of each entry, in percent."""
    return [100 * float(getattr(recall_in(entry, part), key)) for entry in entries]


def groups(entries: Iterable[Entry], order: Sequence[str]) -> list[Group]:
    """Return the results on the whole text that differ in nothing but the seed, row by row, the shorter runs first."""
    found: dict[str, Group] = {}
    for entry in entries:
        if entry["settings"].get("share", 1.0) == 1.0:
            settings = {key: value for key, value in entry["settings"].items() if key != "seed"}
            found.setdefault(f"{entry['name']} {json.dumps(settings, sort_keys=True)}", []).append(entry)
    return sorted(found.values(), key=lambda group: (order.index(group[0]["name"]), schedule(group)))


def by_amount(entries: Iterable[Entry]) -> list[dict[str, Any]]:
    """Return the results by share of the text, where there are any on less than the whole."""
    found: dict[float, dict[str, Any]] = {}
    for entry in entries:
        share = entry["settings"].get("share")
        if share is not None and entry["settings"].get("seed", 0) == 0:
            line = found.setdefault(share, {"share": share})
            if _epochs(entry) >= _epochs(line.get(entry["name"])):
                line[entry["name"]] = entry
    return [line for _, line in sorted(found.items())] if set(found) - {1.0} else []


def schedule(group: Group) -> tuple[int, str]:
    """Return how long a row's runs were, as a number and in words."""
    settings = group[0]["settings"]
    if "rounds" in settings:
        return settings["rounds"], f", {settings['rounds']} rounds"
    return _epochs(group[0]), f", {settings['epochs']} epochs" if "epochs" in settings else ""


def label(group: Group) -> str:
    """Return a row's name."""
    return NAMES[group[0]["name"]] + schedule(group)[1]


def printed(found: list[Group], amounts: list[dict[str, Any]]) -> str:
    """Return the table, the ratio of federated to central training, and what the federated runs cost."""
    lines = ["| model | seeds | top-1 % | spread | top-3 % | spread |", "| --- | --- | --- | --- | --- | --- |"]
    for group in found:
        cells = [f"{np.mean(v):.2f} | {np.ptp(v):.2f}" for v in (percents(group, key) for key in RECALLS)]
        lines.append(f"| {label(group)} | {len(group)} | {' | '.join(cells)} |")
    lines += ["", *_ratios(found), *_costs(found)]
    for one in amounts:
        texts = (f"{n} {_pair(one[n])} %" for n in BY_AMOUNT if n in one)
        lines.append(f"{100 * one['share']:.0f} % of the text: {', '.join(texts)}")
    return "\n".join(lines)


def _pair(entry: Entry) -> str:
    return " / ".join(f"{percents([entry], key)[0]:.2f}" for key in RECALLS)


def longest(found: list[Group], name: str) -> Group | None:
    """Return the row of that name with the longest runs."""
    return next((group for group in reversed(found) if group[0]["name"] == name), None)


def _ratios(found: list[Group]) -> list[str]:
    central, fleet = longest(found, "central"), longest(found, "federated")
    if central is None or fleet is None:
        return []
    ratios = [np.mean(percents(fleet, key)) / np.mean(percents(central, key)) for key in RECALLS]
    return [f"federated / central: {ratios[0]:.3f} (top-1), {ratios[1]:.3f} (top-3)"]


def _costs(found: list[Group]) -> list[str]:
    return [
        f"{c['rounds']} rounds, seed {entry['settings']['seed']}: {c['updates']:,} device updates, "
        f"{c['bytes_down'] / 1e9:.1f} GB down, {c['bytes_up'] / 1e9:.1f} GB up"
        for group in found
        for entry in group
        for c in [entry.get("costs")]
        if c
    ]


def as_json(found: list[Group], amounts: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what `printed` tells, in numbers: recalls are shares, a pair a seed."""
    return {
        "recall": {label(group): _shares(group) for group in found},
        "costs": [entry["costs"] for group in found for entry in group if "costs" in entry],
        "amounts": [
            {"share": one["share"], **{n: _shares([one[n]])[0] for n in BY_AMOUNT if n in one}} for one in amounts
        ],
    }


def _shares(group: Group) -> list[list[float]]:
    return [[recall_in(entry).top1, recall_in(entry).top3] for entry in group]


def _epochs(entry: Entry | None) -> int:
    return int(entry["settings"].get("epochs", 0)) if entry else 0


def draw(found: list[Group], path: Path) -> None:
    """Draw recall on validation text by round of the longest federated runs, and what others come to, as SVG."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    mpl.rcParams.update({"svg.hashsalt": "edgewise", "svg.fonttype": "path"})
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    for axes, key, title in zip(figure.subplots(1, 2), RECALLS, ("first suggestion", "first three"), strict=True):
        for name, color in (("trigram", GREY), ("central", AMBER)):
            if group := longest(found, name):
                level = float(np.mean(percents(group, key, "validation")))
                axes.axhline(level, color=color, lw=1.5, ls="--", label=label(group))
        for number, entry in enumerate(longest(found, "federated") or []):
            points = [(one["round"], 100 * one[key]) for one in entry["curve"]]
            axes.plot(*zip(*points, strict=True), color=TEAL, lw=1.2, label=None if number else NAMES["federated"])
        axes.set(xlabel="round", ylabel="recall on validation text, %", title=title, ylim=(0, None))
        axes.grid(alpha=0.3)
    labelled = axes.get_legend_handles_labels()
    figure.legend(*labelled, loc="outside lower center", ncols=3, fontsize="small", frameon=False)
    figure.savefig(path, format="svg", transparent=True, metadata={"Date": None})
