"""The table, its JSON and the figure, made of results alone."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from results import Entry, recall_in
from split import FEWEST, Text

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
TOLD = ("top-1", "top-3")
WITHIN = 0.03  # of central training's recall: the goal for the fleet
ABOVE_TRIGRAM = ("central", "federated", "personalised")  # the models that are to be above it
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


def printed(found: list[Group], amounts: list[dict[str, Any]], text: Text) -> str:
    """Return the table, the goals, what the federated runs cost, and of which text all of it is.

    A spread is the largest less the smallest recall of the seeds, in points.
    """
    lines = ["| model | seeds | top-1 % | spread | top-3 % | spread |", "| --- | --- | --- | --- | --- | --- |"]
    for group in found:
        cells = [f"{np.mean(v):.2f} | {_spread(v)}" for v in (percents(group, key) for key in RECALLS)]
        lines.append(f"| {label(group)} | {len(group)} | {' | '.join(cells)} |")
    lines += ["", *_errors(found), *_ratios(found), *_goals(found), *_costs(found)]
    for one in amounts:
        texts = (f"{n} {_pair(one[n])} %" for n in BY_AMOUNT if n in one)
        lines.append(f"{100 * one['share']:.0f} % of the text: {', '.join(texts)}")
    return "\n".join([*lines, _text(text)])


def _spread(values: list[float]) -> str:
    return f"{np.ptp(values):.2f}" if len(values) > 1 else "–"


def _text(text: Text) -> str:
    return (
        f"text: {text.messages:,} messages of {text.people} people, {text.of_three:,} of three of them; "
        f"{text.people - text.tested} wrote fewer than {FEWEST}; SHA-256 {text.sha256}"
    )


def standard_errors(found: list[Group]) -> dict[int, list[float]]:
    """Return by the number of test words the largest standard error of a row's recalls, in points.

    It is √(p(1 − p)/n), a binomial's. Words of one message, or of one person, are more alike than that.
    """
    errors: dict[int, list[float]] = {}
    for recall in (recall_in(entry) for group in found for entry in group):
        n = max(recall.words, 1)
        new = [100 * math.sqrt(p * (1 - p) / n) for p in (recall.top1, recall.top3)]
        errors[recall.words] = [max(pair) for pair in zip(new, errors.get(recall.words, new), strict=True)]
    return errors


def _errors(found: list[Group]) -> list[str]:
    return [
        f"standard error of a recall on {n:,} test words: at most {one:.2f} points (top-1), {three:.2f} (top-3), "
        "as if words were independent"
        for n, (one, three) in standard_errors(found).items()
    ]


def _pair(entry: Entry) -> str:
    return " / ".join(f"{percents([entry], key)[0]:.2f}" for key in RECALLS)


def longest(found: list[Group], name: str) -> Group | None:
    """Return the row of that name with the longest runs."""
    return next((group for group in reversed(found) if group[0]["name"] == name), None)


def _ratios(found: list[Group]) -> list[str]:
    central, fleet = longest(found, "central"), longest(found, "federated")
    if central is None or fleet is None:
        return []
    ratios = [_mean(fleet, key) / _mean(central, key) for key in RECALLS]
    lines = [f"federated / central: {ratios[0]:.3f} (top-1), {ratios[1]:.3f} (top-3)"]
    by_seed = {entry["settings"]["seed"]: entry for entry in central}
    pairs = [(entry, by_seed[seed]) for entry in fleet if (seed := entry["settings"]["seed"]) in by_seed]
    if len(pairs) > 1:
        each = [[percents([a], key)[0] / percents([b], key)[0] for a, b in pairs] for key in RECALLS]
        told = (f"{min(one):.3f} to {max(one):.3f} ({name})" for one, name in zip(each, TOLD, strict=True))
        lines.append(f"federated / central, seed by seed: {', '.join(told)}")
    return lines


def _mean(group: Group, key: str) -> float:
    return float(np.mean(percents(group, key)))


def goals(found: list[Group]) -> dict[str, list[bool]]:
    """Return whether each goal that can be told is met, for top-1 and for top-3."""
    central, fleet, trigram = (longest(found, name) for name in ("central", "federated", "trigram"))
    told = {}
    if central and fleet:
        name = f"federated within {100 * WITHIN:.0f} % of central training"
        told[name] = [_mean(fleet, key) >= (1 - WITHIN) * _mean(central, key) for key in RECALLS]
    for name in ABOVE_TRIGRAM:
        if trigram and (group := longest(found, name)):
            told[f"{name} above the trigram"] = [_mean(group, key) > _mean(trigram, key) for key in RECALLS]
    return told


def _goals(found: list[Group]) -> list[str]:
    return [
        f"goal, {goal}: " + ", ".join(f"{n} {'met' if one else 'not met'}" for n, one in zip(TOLD, met, strict=True))
        for goal, met in goals(found).items()
    ]


def _costs(found: list[Group]) -> list[str]:
    return [
        f"{c['rounds']} rounds, seed {entry['settings']['seed']}: {c['updates']:,} device updates, "
        f"{c['bytes_down'] / 1e9:.1f} GB down, {c['bytes_up'] / 1e9:.1f} GB up"
        for group in found
        for entry in group
        for c in [entry.get("costs")]
        if c
    ]


def as_json(found: list[Group], amounts: list[dict[str, Any]], text: Text) -> dict[str, Any]:
    """Return what `printed` tells, in numbers: recalls are shares, a pair a seed."""
    return {
        "text": asdict(text),
        "standard_errors": standard_errors(found),
        "goals": goals(found),
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
