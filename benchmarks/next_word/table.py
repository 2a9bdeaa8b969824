"""The table, its JSON and the figure, made of results alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from results import Entry, recall_in

NAMES = {
    "frequent": "most frequent words",
    "trigram": "Kneser-Ney trigram",
    "central": "CIFG, trained centrally",
    "federated": "CIFG, federated",
    "central_trigram": "CIFG, trained centrally, and the trigram",
    "federated_own": "CIFG, federated, and one's own trigram",
    "personalised": "CIFG, federated, then personalised",
}
RECALLS = ("top1", "top3")
TEAL, AMBER, GREY = "#0f8a7e", "#c07a1a", "#7d8a86"  # as in scripts/draw-figures


def percents(entries: list[Entry], key: str, part: str = "test") -> list[float]:
    """Return a recall of each entry, in percent."""
    return [100 * float(getattr(recall_in(entry, part), key)) for entry in entries]


def printed(found: dict[str, list[Entry]], amounts: list[dict[str, Any]]) -> str:
    """Return the table, the ratio of federated to central training, and what the federated runs cost."""
    lines = [
        "",
        f"| {'model':40} | seeds | top-1 % | spread | top-3 % | spread |",
        f"| {'-' * 40} | --- | --- | --- | --- | --- |",
    ]
    for name, entries in found.items():
        cells = [f"{np.mean(v):.2f} | {np.ptp(v):.2f}" for v in (percents(entries, key) for key in RECALLS)]
        lines.append(f"| {NAMES[name]:40} | {len(entries)} | {' | '.join(cells)} |")
    lines += _ratios(found) + _costs(found.get("federated", []))
    for one in amounts:
        cells = [
            f"{name} {' / '.join(f'{percents([one[name]], key)[0]:.2f}' for key in RECALLS)} %"
            for name in ("trigram", "central")
        ]
        lines.append(f"{100 * one['share']:4.0f} % of the text: {', '.join(cells)}")
    return "\n".join(lines)


def _ratios(found: dict[str, list[Entry]]) -> list[str]:
    if not ("central" in found and "federated" in found):
        return []
    ratios = [np.mean(percents(found["federated"], key)) / np.mean(percents(found["central"], key)) for key in RECALLS]
    return ["", f"federated / central: {ratios[0]:.3f} (top-1), {ratios[1]:.3f} (top-3)"]


def _costs(entries: list[Entry]) -> list[str]:
    return [
        f"seed {entry['settings']['seed']}: {c['rounds']} rounds, {c['updates']:,} device updates, "
        f"{c['bytes_down'] / 1e9:.1f} GB down, {c['bytes_up'] / 1e9:.1f} GB up"
        for entry, c in ((entry, entry["costs"]) for entry in entries)
    ]


def as_json(found: dict[str, list[Entry]], amounts: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what `printed` tells, in numbers: recalls are shares."""
    return {
        "recall": {name: [[v / 100 for v in pair] for pair in _pairs(entries)] for name, entries in found.items()},
        "costs": [entry["costs"] for entry in found.get("federated", [])],
        "amounts": [
            {"share": one["share"], **{n: [v / 100 for v in _pairs([one[n]])[0]] for n in ("trigram", "central")}}
            for one in amounts
        ],
    }


def _pairs(entries: list[Entry]) -> list[tuple[float, ...]]:
    return list(zip(*(percents(entries, key) for key in RECALLS), strict=True))


def draw(found: dict[str, list[Entry]], path: Path) -> None:
    """Draw recall on validation text by round, with what the others come to there, as SVG."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    mpl.rcParams.update({"svg.hashsalt": "edgewise", "svg.fonttype": "path"})
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    for axes, key, title in zip(figure.subplots(1, 2), RECALLS, ("first suggestion", "first three"), strict=True):
        for name, color in (("trigram", GREY), ("central", AMBER)):
            if name in found:
                level = float(np.mean(percents(found[name], key, "validation")))
                axes.axhline(level, color=color, lw=1.5, ls="--", label=NAMES[name])
        for number, entry in enumerate(found.get("federated", [])):
            points = [(one["round"], 100 * one[key]) for one in entry["curve"]]
            axes.plot(*zip(*points, strict=True), color=TEAL, lw=1.2, label=None if number else NAMES["federated"])
        axes.set(xlabel="round", ylabel="recall on validation text, %", title=title, ylim=(0, None))
        axes.grid(alpha=0.3)
    figure.legend(
        *axes.get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize="small", frameon=False
    )
    figure.savefig(path, format="svg", transparent=True, metadata={"Date": None})
