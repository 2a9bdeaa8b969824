"""What `fleet_load` prints: its tables as text, and as `docs/scaling.md` has them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

CASES = {"large", "small"}


def lines(results: dict[str, Any]) -> Iterator[str]:
    """Yield the tables."""
    for name in sorted(CASES & results.keys()):
        yield from table(results[name])
        yield ""
    yield f"peak memory with a quarter of the cohort: {results['quarter_cohort_peak_mb']:.0f} MB"
    rate = results["average"]
    for name in ("numpy_float64", "numpy_float32"):
        share = rate["streaming"] / rate[name]
        yield (
            f"streaming average {rate['streaming'] / 1e9:.2f} GB/s, {name.replace('_', ' ')} add "
            f"{rate[name] / 1e9:.2f} GB/s: {share:.0%}"
        )


def page(results: dict[str, Any]) -> Iterator[str]:
    """Yield the tables in Markdown."""
    for name in sorted(CASES & results.keys()):
        r = results[name]
        what = f"{r['cohort']} a round, {r['rounds']} rounds, {r['parameters']:,} parameters"
        yield f"| {r['devices']:,} connected, {what} | |"
        yield "| --- | --- |"
        yield f"| committed | {r['committed']} of {r['rounds']} |"
        yield f"| rounds a minute | {r['rounds_a_minute']:.1f} ({60 / r['rounds_a_minute']:.2f} s a round) |"
        yield f"| last report to next assignment | {r['gap_median']:.2f} s median, {r['gap_most']:.2f} s at most |"
        quarter = (
            f"; {results['quarter_cohort_peak_mb']:.0f} MB with a quarter of the cohort" if name == "large" else ""
        )
        yield (
            f"| coordinator, peak memory | {r['peak_mb']:.0f} MB; {r['memory_first_mb']:.0f} MB after the first round, "
            f"{r['memory_last_mb']:.0f} MB after the last{quarter} |"
        )
        megabytes = r["ideal_up"] / r["rounds"] / 1e6
        yield f"| coordinator, CPU a round | {r['coordinator_cpu_a_round']:.2f} s for {megabytes:.0f} MB of updates |"
        up, down = r["bytes_up"] / r["ideal_up"], (r["bytes_down"] - r["graph_bytes"]) / r["ideal_down"]
        yield f"| bytes up, down | {up:.3f} ×, {down:.3f} × (cohort × weights), the graph aside |"
        yield f"| messages lost, sent again, refused | {r['lost']}, {r['chunks_sent_again']}, {r['refused']} |"
        yield ""
    rate = {name: value / 1e9 for name, value in results["average"].items()}
    wide, narrow = (f"{rate['streaming'] / rate[name]:.0%}" for name in ("numpy_float64", "numpy_float32"))
    yield "| the average, over the same updates | |"
    yield "| --- | --- |"
    yield f"| NumPy, `total += update` in float32, without weights | {rate['numpy_float32']:.1f} GB/s |"
    yield f"| NumPy, `total += update` in float64 | {rate['numpy_float64']:.1f} GB/s |"
    shares = f"{wide} of float64's, {narrow} of float32's"
    yield f"| the coordinator's: checked, weighted, exact | {rate['streaming']:.1f} GB/s: {shares} |"


def table(r: dict[str, Any]) -> Iterator[str]:
    """Yield one run's table."""
    yield f"{r['devices']:,} devices connected, {r['cohort']} a round, {r['parameters']:,} parameters"
    yield f"  rounds committed               {r['committed']} of {r['rounds']}"
    yield f"  rounds a minute                {r['rounds_a_minute']:.1f}"
    yield f"  seconds a round                {60 / r['rounds_a_minute']:.2f}"
    yield f"  last report to next assignment {r['gap_median']:.2f} s median, {r['gap_most']:.2f} s at most"
    yield f"  coordinator: peak memory       {r['peak_mb']:.0f} MB"
    yield f"  memory after the first, last   {r['memory_first_mb']:.0f} MB, {r['memory_last_mb']:.0f} MB"
    yield f"  coordinator: CPU a round       {r['coordinator_cpu_a_round']:.2f} s"
    up, down, graph = r["bytes_up"], r["bytes_down"], r["graph_bytes"]
    yield f"  bytes up                       {up:,} = {up / r['ideal_up']:.3f} × (cohort × weights)"
    yield f"  bytes down                     {down:,}, of them {graph:,} for the graph, which each device fetches once"
    yield f"                                 the rest = {(down - graph) / r['ideal_down']:.3f} × (cohort × weights)"
    yield f"  reports acknowledged, recorded {r['acknowledged']}, {r['reports']}"
    yield f"  messages lost                  {r['lost']}   (dropped by the broker {r['dropped_by_broker']}, sent again "
    yield f"                                 {r['chunks_sent_again']}, refused {r['refused']})"
    yield f"  weights against float64        differ by {r['largest_error']:.1e} at most"
