"""A coordinator process for the fault tests: the real server over MQTT, a plain model.

`python fault_coordinator.py URL FLEET DIRECTORY ROUNDS GOAL KEEPALIVE ALGORITHM CONNECTIONS ENGINE AGGREGATORS`;
EDGEWISE_FAULT names the point where it kills itself, AGGREGATOR_FAULT the one where its first aggregator does.
Ends with one JSON line: the version reached, the hashes of its weights and of the algorithm's state.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path

from coordinator_scene import PlainArtifact
from edgewise_coordinator.algorithms.base import Algorithm
from edgewise_coordinator.algorithms.fedadam import fedadam
from edgewise_coordinator.algorithms.scaffold import scaffold
from edgewise_coordinator.collecting.plain import plain_updates
from edgewise_coordinator.collecting.spread import spread_over
from edgewise_coordinator.distributed.orders import BrokerSettings, NodeSettings
from edgewise_coordinator.distributed.processes import ProcessEngine
from edgewise_coordinator.distributed.ray_engine import RayEngine
from edgewise_coordinator.faults import VARIABLE, hook_from
from edgewise_coordinator.server import Coordinator
from edgewise_coordinator.settings import RoundSettings, Settings, TrainingSettings, UploadSettings
from edgewise_wire.transport.mqtt import MqttTransport
from edgewise_wire.transport.sharded import ShardedTransport

ALGORITHMS: dict[str, Callable[[], Algorithm]] = {"fedadam": fedadam, "scaffold": lambda: scaffold(fleet_size=10)}
"""Both keep state beside the weights that a restart has to bring back: moments, and the server's control variate."""


def main(
    url: str,
    fleet: str,
    directory: str,
    rounds: str,
    goal: str,
    keepalive: str,
    algorithm: str,
    connections: str,
    engine: str,
    aggregators: str,
) -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    cohort = RoundSettings(goal=int(goal), over_selection=1.0, offline_grace=60.0, accept_timeout=60.0, retry_delay=0.2)
    settings = Settings(fleet, int(rounds), cohort, TrainingSettings(learning_rate=0.1), keep_updates=True)
    names = [f"{fleet}-coordinator", *(f"{fleet}-coordinator-{n}" for n in range(1, int(connections)))]
    links = [MqttTransport(url, name, keepalive=int(keepalive)).connect() for name in names]
    transport = ShardedTransport(links)
    nodes = [
        NodeSettings(
            f"a{n}", fleet, BrokerSettings(url), Path(directory) / f"a{n}", UploadSettings(),
            fault=(os.environ.get("AGGREGATOR_FAULT") or None) if not n else None,
        )
        for n in range(int(aggregators))
    ]  # fmt: skip
    running = None if not nodes else RayEngine(nodes) if engine == "ray" else ProcessEngine(nodes)
    if running is not None:
        Path(directory).mkdir(exist_ok=True)
        (Path(directory) / "aggregators.json").write_text(json.dumps(running.pids()))
    coordinator = Coordinator(
        PlainArtifact(),  # type: ignore[arg-type]
        transport,
        Path(directory),
        settings,
        algorithm=ALGORITHMS[algorithm](),
        fault=hook_from(os.environ.get(VARIABLE)),
        collect=plain_updates if running is None else spread_over(running),
    )
    while not coordinator.finished:
        coordinator.step(0.2)
    version = coordinator.store.versions()[-1]
    files = Path(directory) / "versions"
    end = {
        "version": version.version,
        "weights": hashlib.sha256((files / version.weights).read_bytes()).hexdigest(),
        "state": hashlib.sha256((files / f"{version.version:06}.state.npz").read_bytes()).hexdigest(),
    }
    coordinator.close()
    transport.close()
    if running is not None:
        running.close()
    print(json.dumps(end), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
