"""Flower's simulation (Ray underneath) over the training of another peer: what a framework adds to the arithmetic."""

from __future__ import annotations

import argparse
import importlib
import json
import logging
import resource
import time
from pathlib import Path
from typing import Any

import numpy as np
from common import load, one_core


def main() -> None:
    """Run rounds of FedAvg; print one line of JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("task")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", default="")
    parser.add_argument("--trainer", choices=("numpy", "torch"), default="numpy", help="whose local training")
    given = parser.parse_args()
    one_core()
    import flwr
    from flwr.client import ClientApp, NumPyClient
    from flwr.common import ndarrays_to_parameters, parameters_to_ndarrays
    from flwr.server import ServerApp, ServerAppComponents, ServerConfig
    from flwr.server.strategy import FedAvg
    from flwr.simulation import run_simulation

    logging.getLogger("flwr").setLevel(logging.ERROR)
    weights, data, rate, kind = load(given.task)
    names, devices, task = list(weights), len(next(iter(data.values()))), str(Path(given.task).resolve())
    kept: dict[str, Any] = {}

    class Client(NumPyClient):
        def __init__(self, device: int) -> None:
            self.device = device

        def fit(self, parameters: Any, config: Any) -> Any:
            if "data" not in kept:
                build = importlib.import_module(f"{given.trainer}_peer").build
                kept["data"], kept["local"] = load(task)[1], build(kind, rate)
            own = {name: value[self.device] for name, value in kept["data"].items()}
            new = kept["local"](dict(zip(names, parameters, strict=True)), own)
            return [new[name] for name in names], len(own["labels"]), {}

    moments: list[float] = []
    first: list[Any] = []

    class Timed(FedAvg):
        def configure_fit(self, *a: Any, **k: Any) -> Any:
            moments.append(time.perf_counter())
            return super().configure_fit(*a, **k)

        def aggregate_fit(self, *a: Any, **k: Any) -> Any:
            found = super().aggregate_fit(*a, **k)
            if not first and found[0] is not None:
                first.extend(parameters_to_ndarrays(found[0]))
            moments.append(time.perf_counter())
            return found

    strategy = Timed(
        fraction_fit=1.0, min_fit_clients=devices, min_available_clients=devices, fraction_evaluate=0.0,
        initial_parameters=ndarrays_to_parameters(list(weights.values())),
    )  # fmt: skip
    run_simulation(
        server_app=ServerApp(
            server_fn=lambda context: ServerAppComponents(
                strategy=strategy, config=ServerConfig(num_rounds=given.rounds + 1)
            )
        ),
        client_app=ClientApp(client_fn=lambda context: Client(int(context.node_config["partition-id"])).to_client()),
        num_supernodes=devices,
        backend_config={"client_resources": {"num_cpus": 1}, "init_args": {"num_cpus": given.processes}},
    )
    seconds = [end - start for start, end in zip(moments[::2], moments[1::2], strict=True)]
    if given.out and first:
        np.savez(given.out, **dict(zip(names, first, strict=True)))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    peak += resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds[1:], "first": seconds[0], "peak_mb": peak, "version": flwr.__version__}))


if __name__ == "__main__":
    main()
