"""What devices report besides updates: evaluations, checked and pooled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgewise_coordinator.state import Report
from edgewise_wire.errors import InputError
from edgewise_wire.messages import EvaluationReport


def check_measures(report: EvaluationReport, names: Sequence[str], most_examples: int = 10_000_000) -> dict[str, float]:
    """Return an evaluation's sums by name: exactly `names`, finite, none negative, none above what it counted.

    Raises:
        InputError: naming the measure, its value and what was expected.
    """
    if not report.examples <= most_examples:
        raise InputError(f"evaluation: expected at most {most_examples} examples, the device claims {report.examples}")
    measures = {m.name: m.value for m in report.measures}
    if set(measures) != set(names):
        raise InputError(f"evaluation: expected the sums {sorted(names)}, got {sorted(measures)}")
    for name, value in measures.items():
        if not 0 <= value < 1e15:
            raise InputError(f"evaluation: {name}: expected a finite sum of at least 0, got {value}")
    counts = [name for name in names if name not in ("loss_sum", "weight_sum")]
    for name in counts:
        if measures[name] > measures["weight_sum"] * (1 + 1e-6):
            raise InputError(
                f"evaluation: {name}: expected at most weight_sum {measures['weight_sum']}, got {measures[name]}"
            )
    return measures


def pool_measures(reports: Sequence[Report]) -> dict[str, float]:
    """Return the fleet's metrics: sums over devices divided by the sum of their weights, so each word counts once.

    Example:
        >>> pool_measures([Report("a", 1, 2, measures={"loss_sum": 6.0, "weight_sum": 2.0, "top1": 1.0})])
        {'loss': 3.0, 'top1': 0.5}
    """
    totals: dict[str, float] = {}
    for report in reports:
        for name, value in report.measures.items():
            totals[name] = totals.get(name, 0.0) + value
    return _means(totals)


def _means(totals: Mapping[str, float]) -> dict[str, float]:
    weight = totals.get("weight_sum", 0.0)
    if weight <= 0:
        return {}
    return {
        "loss" if name == "loss_sum" else name: value / weight for name, value in totals.items() if name != "weight_sum"
    }
