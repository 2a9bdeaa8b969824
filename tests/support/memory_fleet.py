"""A whole fleet in one thread: real coordinator, agents and model; a broker in memory and a clock that jumps."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from edgewise_coordinator.server import Coordinator
from edgewise_coordinator.settings import Settings
from edgewise_coordinator.summary import RoundSummary
from edgewise_edge.agent import Agent
from edgewise_edge.home import Home
from edgewise_edge.host import DeviceHost
from edgewise_edge.link import Identity
from edgewise_edge.store import ExampleStore
from edgewise_wire.artifact import Artifact
from edgewise_wire.clock import ManualClock
from edgewise_wire.transport.memory import MemoryBroker, MemoryTransport


@dataclass
class MemoryFleet:
    """`texts` gives each device's sentences; every fifth is held out."""

    folder: Path
    model: Path
    settings: Settings
    texts: dict[str, list[str]]
    clock: ManualClock = field(default_factory=lambda: ManualClock(1e6, 1.8e9))
    broker: MemoryBroker = field(default_factory=MemoryBroker)
    rounds: list[RoundSummary] = field(default_factory=list)
    agents: dict[str, Agent] = field(default_factory=dict)
    hosts: dict[str, DeviceHost] = field(default_factory=dict)
    homes: dict[str, Home] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    """Further arguments of `Coordinator`: algorithm, aggregator, selection, …"""

    def __post_init__(self) -> None:
        self.spy: MemoryTransport = self.broker.connect("spy")
        self.spy.subscribe("#")
        self.coordinator = self._coordinator()
        for number, (device, sentences) in enumerate(self.texts.items()):
            self.agents[device] = self._agent(device, sentences, number)

    def _coordinator(self) -> Coordinator:
        return Coordinator(
            Artifact.load(self.model),
            self.broker.connect("coordinator"),
            self.folder / "run",
            self.settings,
            clock=self.clock,
            on_round=self.rounds.append,
            **self.options,
        )

    def restart_coordinator(self) -> None:
        """Kill the coordinator (nothing is closed, nothing is said) and start another over its directory."""
        self.broker.cut("coordinator")
        self.coordinator = self._coordinator()

    def _agent(self, device: str, sentences: list[str], number: int) -> Agent:
        home = self.homes[device] = Home(self.folder / device)
        store = ExampleStore(home.examples)
        store.add_many(sentences)
        identity = Identity(self.settings.fleet, device, number + 1)
        link = self.broker.connect(device, will=identity.will)
        host = self.hosts[device] = DeviceHost(home, store)
        return Agent(home, link, identity, host, clock=self.clock, rng=np.random.default_rng(number))

    def run(self, steps: int = 20_000) -> None:
        """Let everyone act in turn until the run is over; time passes a tenth of a second a turn."""
        for _ in range(steps):
            self.coordinator.step(0.0)
            for agent in self.agents.values():
                agent.step(0.0)
            if self.coordinator.finished:
                return
            self.clock.advance(0.1)
        raise AssertionError("the run did not end")
