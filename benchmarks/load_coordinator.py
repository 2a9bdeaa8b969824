"""The coordinator's process of `fleet_load`: the real server over MQTT, a model of so many parameters, and a stopwatch.

`python benchmarks/load_coordinator.py SETTINGS` (a JSON object); prints one JSON line at its end.
"""

from __future__ import annotations

import json
import logging
import resource
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from edgewise_coordinator.faults import FaultPoint
from edgewise_coordinator.server import Coordinator
from edgewise_coordinator.settings import RoundSettings, Settings, TrainingSettings
from edgewise_coordinator.summary import RoundSummary
from edgewise_wire.transport.mqtt import MqttTransport
from edgewise_wire.weights import Array, Weights, WeightSpec, pack

GRAPH_BYTES = 200_000  # operators, names and the word list of the next-word model, besides its weights


class SyntheticArtifact:
    """What a coordinator asks of a model file, of any size, without TensorFlow."""

    def __init__(self, parameters: int) -> None:
        self._specs = (WeightSpec("weights", (parameters,)),)
        self.manifest = SimpleNamespace(weights=self._specs, averaged=self._specs, metrics=("top1",))
        self._weights = {"weights": np.random.default_rng(99).normal(0, 0.05, parameters).astype("<f4")}
        self.graph_hash = b"g" * 32

    def weights(self) -> dict[str, Array]:
        """Return the first weights."""
        return dict(self._weights)

    def with_weights(self, weights: Weights) -> bytes:
        """Return the model file with other weights in it."""
        return np.random.default_rng(98).bytes(GRAPH_BYTES) + pack(weights, self._specs)


class Stopwatch:
    """A fault hook that notes when each round's first and last assignment and last acknowledgement happened."""

    def __init__(self) -> None:
        self.acknowledged: list[float] = []
        self.assigned: list[tuple[float, float]] = []
        self._told = False

    def __call__(self, point: FaultPoint) -> None:
        """Note the time of a point that the table is about."""
        now = time.monotonic()
        if point is FaultPoint.AFTER_ASSIGNMENT:
            first = self.assigned.pop()[0] if self._told else now
            self.assigned.append((first, now))
            self._told = True
        elif point is FaultPoint.AFTER_ACKNOWLEDGEMENT:
            if self._told:
                self.acknowledged.append(now)
            self.acknowledged[-1], self._told = now, False


def memory_mb(field: str) -> float:
    """Return this process's memory in MB: `VmRSS` is what is resident now, `VmHWM` the most that ever was."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1000
    return 0.0


def main(s: dict[str, Any]) -> None:
    """Run the rounds that `s` describes."""
    logging.basicConfig(level=logging.INFO)
    cohort = RoundSettings(goal=s["cohort"], over_selection=s["over_selection"], gather_timeout=60.0)
    settings = Settings(s["fleet"], s["rounds"], cohort, TrainingSettings(), evaluate_every=0)
    transport = MqttTransport(s["url"], "coordinator").connect()
    watch, memory, rounds = Stopwatch(), [], []

    def ended(summary: RoundSummary) -> None:
        memory.append(memory_mb("VmRSS"))
        rounds.append((time.monotonic(), summary.as_dict()))

    artifact: Any = SyntheticArtifact(s["parameters"])
    coordinator = Coordinator(artifact, transport, Path(s["directory"]), settings, on_round=ended, fault=watch)
    before = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])  # imports and the first version are not a round's
    while not coordinator.finished:
        coordinator.step(1.0)
    end = {
        "rounds": [summary for _, summary in rounds],
        "seconds": rounds[-1][0] - watch.assigned[0][0],
        "gaps": [first - last for last, (first, _) in zip(watch.acknowledged, watch.assigned[1:], strict=False)],
        "gaps_all_told": [told - last for last, (_, told) in zip(watch.acknowledged, watch.assigned[1:], strict=False)],
        "assigning": [told - first for first, told in watch.assigned],
        "memory_mb": memory,
        "peak_mb": memory_mb("VmHWM"),
        "cpu_seconds": sum(resource.getrusage(resource.RUSAGE_SELF)[:2]) - before,
        "payload_up": coordinator.link.bytes_up,
        "payload_down": coordinator.bytes_down,
        "refused": dict(coordinator.link.refused),
    }
    coordinator.close()
    transport.close()
    print(json.dumps(end), flush=True)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
