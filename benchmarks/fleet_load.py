"""A fleet on one machine over real sockets: `python benchmarks/fleet_load.py [--json | --markdown] [--rounds N] …`.

The real coordinator over Mosquitto with its default limits; devices that do everything but train: they check in, fetch
the weights, and send prepared updates. Three tables:

1. the 1.42 M-parameter model, 2,000 devices connected, 100 a round: the rate, the memory, the bytes, what was lost;
2. 100 devices and a 10k-parameter model, where only overhead counts;
3. the streaming average against a plain NumPy add over the same bytes.

The final weights are computed again, in float64 from the same updates, and compared. Needs Mosquitto, and some minutes:
`--rounds 5 --small-rounds 0` is the shortest run that still shows whether memory grows.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from light_fleet import examples_of, prepared_update
from load_coordinator import SyntheticArtifact
from load_tables import CASES, lines, page

from edgewise.brokers.mosquitto import Mosquitto
from edgewise_coordinator.aggregators.mean import StreamingMean
from edgewise_coordinator.spooled import Held
from edgewise_coordinator.state import StateStore
from edgewise_wire.transport.base import Message
from edgewise_wire.transport.mqtt import MqttTransport

HERE = Path(__file__).parent
FLEET = "load"
DROPPED = "$SYS/broker/publish/messages/dropped"
PROCESSES = 2
SOCKETS_BESIDES = 500


@dataclass(frozen=True)
class Load:
    """One run: how many devices are connected, how many a round, how many rounds, how large the model."""

    devices: int
    cohort: int
    rounds: int
    parameters: int
    over_selection: float = 1.0


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, default=2000)
    parser.add_argument("--cohort", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--parameters", type=int, default=1_422_250)
    parser.add_argument("--over-selection", type=float, default=1.0)
    parser.add_argument("--small-rounds", type=int, default=20, help="rounds of the second table, 0 for none")
    parser.add_argument("--json", action="store_true", help="one JSON line instead of tables")
    parser.add_argument("--markdown", action="store_true", help="the tables as docs/scaling.md has them")
    a = parser.parse_args()
    raise_limit(a.devices)
    load = Load(a.devices, a.cohort, a.rounds, a.parameters, a.over_selection)
    results: dict[str, Any] = {"load_average_before": os.getloadavg()[0], "large": run(load)}
    smaller = Load(max(a.cohort // 4, 1), max(a.cohort // 4, 1), 3, a.parameters, a.over_selection)
    results["quarter_cohort_peak_mb"] = run(smaller)["peak_mb"]
    if a.small_rounds:
        results["small"] = run(Load(100, 100, a.small_rounds, 10_000))
    results["average"] = average_rate(a.parameters)
    print(json.dumps(results) if a.json else "\n".join((page if a.markdown else lines)(results)))
    if any(
        results[name]["lost"] or results[name]["committed"] < results[name]["rounds"] for name in CASES & results.keys()
    ):
        raise SystemExit("messages were lost, or rounds not committed")


def raise_limit(devices: int) -> None:
    """Allow as many sockets as there are devices; the broker inherits it."""
    wanted = devices + SOCKETS_BESIDES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(hard, wanted)))


def run(load: Load) -> dict[str, Any]:
    """Run the rounds of one load and return its figures."""
    with tempfile.TemporaryDirectory(prefix="edgewise-load-") as folder, started(Path(folder), load) as (url, fleets):
        settings = {
            "url": url, "fleet": FLEET, "directory": f"{folder}/run", "rounds": load.rounds, "cohort": load.cohort,
            "over_selection": load.over_selection, "parameters": load.parameters,
        }  # fmt: skip
        told = subprocess.run(
            [sys.executable, str(HERE / "load_coordinator.py"), json.dumps(settings)],
            stdout=subprocess.PIPE,
            check=True,
        )
        coordinator = json.loads(told.stdout.splitlines()[-1])
        counts = [json.loads(f.communicate()[0].splitlines()[-1]) for f in fleets]
        return figures(load, coordinator, counts, dropped(url), Path(folder, "run"))


@contextlib.contextmanager
def started(folder: Path, load: Load) -> Iterator[tuple[str, list[subprocess.Popen[str]]]]:
    """Start the broker and the devices, all connected."""
    # $SYS once a second, so that the last count of dropped messages is not ten seconds old; no limit is changed.
    with Mosquitto(folder / "broker", extra=["sys_interval 1"]) as broker:
        fleets, first = [], 0
        for n in range(PROCESSES):
            count = load.devices // PROCESSES + (n < load.devices % PROCESSES)
            part = {"url": broker.url, "name": FLEET, "first": first, "devices": count, "parameters": load.parameters}
            command = [sys.executable, str(HERE / "light_fleet.py"), json.dumps(part)]
            fleets.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
            first += count
        try:
            for fleet in fleets:
                assert fleet.stdout is not None
                if fleet.stdout.readline().strip() != "ready":
                    raise SystemExit("a part of the fleet could not connect")
            yield broker.url, fleets
        finally:
            for fleet in fleets:
                if fleet.poll() is None:
                    fleet.kill()
                fleet.wait()


def dropped(url: str) -> int:
    """Return how many messages Mosquitto says that it has dropped."""
    link = MqttTransport(url, "accountant")
    link.subscribe(DROPPED)
    link.connect()
    found, deadline = 0, time.monotonic() + 3
    while time.monotonic() < deadline:
        event = link.poll(0.5)
        if isinstance(event, Message):
            found = int(event.payload)
    link.close()
    return found


def figures(load: Load, told: dict[str, Any], counts: list[dict[str, Any]], drops: int, run: Path) -> dict[str, Any]:
    """Return what a run came to."""
    total = {key: sum(c[key] for c in counts) for key in counts[0] if isinstance(counts[0][key], int)}
    weights = 4 * load.parameters
    recorded, error = check_result(load, run)
    chunks = -(-weights // 130_048)
    took_part = load.cohort * load.rounds
    sent_again = total["chunks_sent"] - chunks * took_part if load.over_selection == 1.0 else 0
    seconds = [s["seconds"] for s in told["rounds"]]
    return {
        "devices": load.devices,
        "cohort": load.cohort,
        "rounds": len(told["rounds"]),
        "committed": sum(s["phase"] == "committed" for s in told["rounds"]),
        "parameters": load.parameters,
        "seconds": told["seconds"],
        "rounds_a_minute": 60 * len(told["rounds"]) / told["seconds"],
        "round_median": statistics.median(seconds),
        "gap_median": statistics.median(told["gaps"]),
        "gap_most": max(told["gaps"]),
        "gap_all_told": statistics.median(told["gaps_all_told"]),
        "peak_mb": told["peak_mb"],
        "memory_first_mb": told["memory_mb"][0],
        "memory_last_mb": told["memory_mb"][-1],
        "coordinator_cpu_a_round": told["cpu_seconds"] / len(told["rounds"]),
        "bytes_up": total["bytes_sent"],
        "ideal_up": weights * took_part,
        "bytes_down": total["bytes_received"],
        "ideal_down": weights * took_part,
        "graph_bytes": total["graph_bytes"],
        "reports": recorded,
        "acknowledged": total["acknowledged"],
        "lost": drops + total["disconnected"] + abs(total["acknowledged"] - recorded) + max(sent_again, 0),
        "dropped_by_broker": drops,
        "chunks_sent_again": sent_again,
        "refused": sum(told["refused"].values()),
        "largest_error": error,
    }


def check_result(load: Load, run: Path) -> tuple[int, float]:
    """Return how many reports are on record, and how far the weights are from a float64 average over the same ones."""
    store = StateStore(run / "state.sqlite")
    weights = SyntheticArtifact(load.parameters).weights()["weights"].astype(np.float64)
    updates = [prepared_update(n, load.parameters).astype(np.float64) for n in range(8)]
    count = 0
    for version in store.versions():
        numbers = [int(r.device[1:]) for r in store.reports(version.round_id)] if version.round_id else []
        count += len(numbers)
        share = np.zeros(8)
        for number in numbers:
            share[number % 8] += examples_of(number)
        for update, part in zip(updates, share / max(share.sum(), 1.0), strict=True):
            weights += part * update
    final = np.frombuffer((run / "versions" / store.versions()[-1].weights).read_bytes(), "<f4")
    store.close()
    return count, float(np.abs(final - weights).max())


def average_rate(parameters: int, updates: int = 8, repeats: int = 15) -> dict[str, float]:
    """Return bytes of updates a second: the coordinator's running mean, and NumPy's `total += update` in two types.

    They take turns, so that whatever else the machine does falls on each alike; the best of `repeats` counts.
    """
    rng = np.random.default_rng(0)
    data = [rng.normal(0, 1e-3, parameters).astype(np.float32) for _ in range(updates)]
    total, wide, narrow = StreamingMean(parameters), np.zeros(parameters), np.zeros(parameters, np.float32)
    adding: dict[str, Callable[[Any], object]] = {
        "streaming": lambda u: total.add(Held(u, 3.0)),
        "numpy_float64": lambda u: np.add(wide, u, out=wide),
        "numpy_float32": lambda u: np.add(narrow, u, out=narrow),
    }
    seconds = dict.fromkeys(adding, math.inf)
    for name, add in [*adding.items()] * repeats:
        began = time.perf_counter()
        for update in data:
            add(update)
        seconds[name] = min(seconds[name], time.perf_counter() - began)
    return {name: 4.0 * parameters * updates / best for name, best in seconds.items()}


if __name__ == "__main__":
    main()
