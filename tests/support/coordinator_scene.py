"""A coordinator in memory with devices that follow a script, under a clock that the test moves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from edgewise_coordinator.faults import FaultHook, no_fault
from edgewise_coordinator.server import Coordinator
from edgewise_coordinator.settings import Settings
from edgewise_coordinator.summary import RoundSummary
from edgewise_wire.clock import ManualClock
from edgewise_wire.transport.memory import MemoryBroker
from edgewise_wire.weights import Array, Weights, WeightSpec, pack
from scripted_device import ScriptedDevice, will

SPECS = (WeightSpec("kernel", (300, 401)), WeightSpec("bias", (7,)))  # 481 KB: four chunks


class PlainArtifact:
    """Only what a coordinator asks of a model file; the real one is used in tests/integration."""

    def __init__(self) -> None:
        rng = np.random.default_rng(11)
        self.manifest = SimpleNamespace(weights=SPECS, averaged=SPECS, metrics=("top1", "top3"))
        self._weights = {s.name: rng.normal(0, 0.1, s.shape).astype("f4") for s in SPECS}
        self.graph_hash = b"g" * 32

    def weights(self) -> dict[str, Array]:
        return self._weights

    def with_weights(self, weights: Weights) -> bytes:
        return b"graph" + pack(weights, SPECS)


def device_update(name: str) -> Callable[[np.ndarray, Any], np.ndarray]:
    """Each device's update is a function of its name and of the weights it was given."""
    number = int(name[1:])

    def train(weights: np.ndarray, _: Any) -> np.ndarray:
        rng = np.random.default_rng(number)
        return (rng.normal(0, 0.05, len(weights)) - 0.1 * weights).astype("f4")

    return train


@dataclass
class Scene:
    """Everything of one fleet; `settle` lets all talk until nobody has anything more to say."""

    directory: Path
    settings: Settings
    clock: ManualClock = field(default_factory=lambda: ManualClock(1000.0, 5000.0))
    broker: MemoryBroker = field(default_factory=MemoryBroker)
    devices: dict[str, ScriptedDevice] = field(default_factory=dict)
    rounds: list[RoundSummary] = field(default_factory=list)
    fault: FaultHook = no_fault
    options: dict[str, Any] = field(default_factory=dict)
    """Further arguments of `Coordinator`: algorithm, aggregator, selection, …"""

    def __post_init__(self) -> None:
        self.artifact = PlainArtifact()
        self.start()

    def start(self) -> None:
        self.coordinator = Coordinator(
            self.artifact,  # type: ignore[arg-type]
            self.broker.connect("coordinator"),
            self.directory,
            self.settings,
            clock=self.clock,
            on_round=self.rounds.append,
            fault=lambda point: self.fault(point),
            **self.options,
        )

    def join(self, *names: str) -> None:
        for name in names:
            link = self.broker.connect(name, will=will("test", name))
            self.devices[name] = ScriptedDevice(name, link, device_update(name), examples=5 + int(name[1:]))
            self.devices[name].join()

    def settle(self, limit: int = 2000) -> None:
        for _ in range(limit):
            self.coordinator.step(0.0)
            if self._nobody_spoke():
                self.coordinator.step(0.0)
                if self._nobody_spoke():
                    return
        raise AssertionError("they are still talking")

    def _nobody_spoke(self) -> bool:
        return sum(d.step() for d in self.devices.values()) == 0

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.settle()

    def run(self) -> None:
        for _ in range(200):
            self.settle()
            if self.coordinator.finished:
                return
            self.clock.advance(1.0)
        raise AssertionError("the run did not end")
