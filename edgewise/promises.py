"""What a run's privacy has cost so far, in words: the same in the report, at the end of a run and in `status`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def spent_words(p: Mapping[str, Any]) -> str:
    """Return what a round's `privacy` says of everything released so far.

    Example:
        >>> spent_words({"epsilon": 2.0, "delta": 1e-6, "zcdp": 0.1, "budget": 8.0, "releases": 3, "mechanism": "tree",
        ...              "noise_multiplier": 4.0, "clip_norm": 0.3})
        'ε 2 of 8 at δ 1e-06, zCDP 0.1, after 3 releases (tree, noise multiplier 4, clipping norm 0.3)'
    """
    budget = "" if p["budget"] is None else f" of {p['budget']:g}"
    spent = f"ε {p['epsilon'] or 0:.3g}{budget} at δ {p['delta']:g}, zCDP {p['zcdp'] or 0:.3g}"
    if p["epsilon"] is None:
        spent = "no guarantee without noise"
    how = f"{p['mechanism']}, noise multiplier {p['noise_multiplier']:g}, clipping norm {p['clip_norm']:g}"
    return f"{spent}, after {p['releases']} release{'' if p['releases'] == 1 else 's'} ({how})"
