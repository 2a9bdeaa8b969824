"""A simulation with everything in it: the real coordinator and real agents, whose messages cross a broker in memory.

For small fleets, and for the question whether something between coordinator and devices changes a result (it does not:
the weights are the same bits as without). Devices are always there and messages take no virtual time; everything that
a coordinator and a device keep on disk is kept, and a run goes on from there.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgewise.recipes import Plan
from edgewise.simulation.data import TaskData
from edgewise.simulation.result import DeviceTable, Result, Row, weights_of
from edgewise_coordinator.history import History
from edgewise_coordinator.server import Coordinator, directory_lock
from edgewise_coordinator.settings import Settings
from edgewise_edge.agent import Agent
from edgewise_edge.home import Home
from edgewise_edge.host import Counts
from edgewise_edge.link import Identity
from edgewise_edge.local_training import Examples, TrainerLike
from edgewise_edge.next_word import examples_for
from edgewise_edge.trainer import Trainer
from edgewise_wire.artifact import Artifact
from edgewise_wire.clock import ManualClock
from edgewise_wire.errors import ConfigError
from edgewise_wire.files import make_folder, write_durably
from edgewise_wire.manifest import Manifest
from edgewise_wire.messages import DeviceState, Kind
from edgewise_wire.transport.memory import MemoryBroker

DEVICES_MAX = 200  # each has a folder and takes a turn at every tenth of a virtual second
TICK_SECONDS = 0.1
EPOCH = 1.8e9  # seconds since 1970 at virtual time 0: any date at which papers and clocks are believed


class OneTrainer:
    """The trainer of a graph, which all devices of a process take turns to use: one interpreter in memory."""

    def __init__(self) -> None:
        self._loaded: tuple[bytes, Trainer] | None = None

    def __call__(self, graph: Path, graph_hash: bytes) -> TrainerLike:
        """Return it."""
        if self._loaded is None or self._loaded[0] != graph_hash:
            self._loaded = graph_hash, Trainer(graph)
        return self._loaded[1]


class DataHost:
    """What an agent asks of the device it runs on, answered from a `TaskData`."""

    runtime = "simulated"

    def __init__(self, data: TaskData, device: int, trainers: OneTrainer) -> None:
        self._data, self._device = data, device
        self.trainer = trainers

    def counts(self) -> Counts:
        """Return how many examples there are."""
        train, held_out = (int(self._data.counts(held_out=which)[self._device]) for which in (False, True))
        return Counts(train, held_out)

    def obstacle(self) -> str | None:
        """Return `None`: it may always take part."""
        return None

    def examples(self, manifest: Manifest, kind: Kind) -> Examples:
        """Return the device's examples."""
        return examples_for(self._data.rows(self._device, held_out=kind is Kind.EVALUATE), manifest)

    def texts(self) -> Sequence[str]:
        """Return nothing: a simulated device holds examples, and its text is not asked for words."""
        return ()

    def release(self) -> None:
        """Keep the trainer: others use it."""


class WireFleet:
    """The coordinator and its devices in one thread.

    Args:
        artifact: the model.
        data: of the devices.
        settings: of the rounds.
        plan: how the fleet learns.
        directory: `run/` is the coordinator's, `devices/NAME` a device's.

    Raises:
        ConfigError: if there are too many devices.
    """

    def __init__(self, artifact: Artifact, data: TaskData, settings: Settings, plan: Plan, directory: Path) -> None:
        if len(data.devices) > DEVICES_MAX:
            raise ConfigError(f"wire: expected at most {DEVICES_MAX} devices, got {len(data.devices)}")
        self.data = data
        now = _ended(directory / "rounds.jsonl")
        self.clock = ManualClock(now, EPOCH + now)
        self._broker = MemoryBroker()
        arguments = {name: value for name, value in plan.arguments.items() if name != "pace"}
        self.coordinator = Coordinator(
            artifact, self._broker.connect("coordinator"), directory / "run", settings, clock=self.clock, **arguments
        )
        trainers = OneTrainer()
        self._agents = [self._agent(number, name, trainers, directory) for number, name in enumerate(data.devices)]

    def _agent(self, number: int, name: str, trainers: OneTrainer, directory: Path) -> Agent:
        home = Home(directory / "devices" / name)
        settings = self.coordinator.settings
        identity = Identity(settings.fleet, name, self.coordinator.store.last_round() * DEVICES_MAX + number + 1)
        link = self._broker.connect(name, will=identity.will)
        host = DataHost(self.data, number, trainers)
        return Agent(home, link, identity, host, clock=self.clock, rng=np.random.default_rng(number))

    def turn(self) -> None:
        """Let everyone act once; then a tenth of a second passes."""
        self.coordinator.step(0.0)
        for agent in self._agents:
            agent.step(0.0)
            while agent.state is DeviceState.TRAINING:  # to its end: the next one uses the same trainer
                agent.step(0.0)
        self.clock.advance(TICK_SECONDS)

    def close(self) -> None:
        """Let go of the coordinator's files."""
        self.coordinator.close()


def run_on_wire(
    artifact: Artifact, data: TaskData, settings: Settings, plan: Plan, directory: Path,
    stop: Callable[[], bool], on_row: Callable[[Row], None],
) -> Result:  # fmt: skip
    """Run rounds until the last one, or until `stop()`, and write the trained model; see `simulate`."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(directory_lock(make_folder(directory / "run")))
        fleet = WireFleet(artifact, data, settings, plan, directory)
        stack.callback(fleet.close)
        coordinator = fleet.coordinator
        history = History(directory / "rounds.jsonl", coordinator.store, coordinator.model.is_measured)
        coordinator.on_round = history.add
        shown = len(history.rows)
        while not coordinator.finished and not stop():
            fleet.turn()
            for row in history.rows[shown:]:
                on_row(_timed(row))
            shown = len(history.rows)
        history.flush()
        for row in history.rows[shown:]:
            on_row(_timed(row))
        model = coordinator.model.file()
        write_durably(directory / "model.tflite", model)
        rows: list[Row] = [_timed(row) for row in history.rows]
        weights = weights_of(artifact, coordinator.weights)
        complete = coordinator.complete
    took_part = np.zeros(len(data.devices), np.int64)
    table = DeviceTable(list(data.devices), data.counts(held_out=False), took_part)
    return Result(rows, weights, model, table, directory, complete, plan.algorithm.name)


def _ended(rounds: Path) -> float:
    """Return the virtual time at which an earlier part of the run ended."""
    lines = rounds.read_text("utf-8").splitlines() if rounds.exists() else []
    return max((row["started"] + row["seconds"] - EPOCH for row in map(json.loads, lines)), default=0.0)


def _timed(row: dict[str, Any]) -> Row:
    started = row["started"] - EPOCH
    return {**row, "started": started, "hours": (started + row["seconds"]) / 3600}
