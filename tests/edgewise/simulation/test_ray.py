"""The workers on a Ray cluster of two nodes: the same bits as anywhere."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgewise.simulation.ray_workers import RayWorkers
from simulated import bits, simulated

ray = pytest.importorskip("ray")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from ray.cluster_utils import Cluster

    made = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False, "object_store_memory": 1 << 27}
    )
    made.add_node(num_cpus=1, object_store_memory=1 << 27)
    tests = str(Path(__file__).parents[2] / "support")
    ray.init(address=made.address, log_to_driver=False, runtime_env={"env_vars": {"PYTHONPATH": tests}})
    yield made
    ray.shutdown()
    made.shutdown()


@pytest.mark.integration
def test_two_nodes_give_the_bits_of_one_process(
    cluster: Any, fixture_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes: set[str] = set()
    train = RayWorkers.train

    def watched(self: RayWorkers, jobs: Any) -> Any:
        nodes.update(self.nodes())
        return train(self, jobs)

    monkeypatch.setattr(RayWorkers, "train", watched)
    found = simulated(fixture_dir, engine="ray", workers=2, rounds=2, cohort=5)
    assert len(nodes) == 2
    assert bits(found) == bits(simulated(fixture_dir, rounds=2, cohort=5))


@pytest.mark.integration
def test_an_actor_that_is_killed_is_replaced(cluster: Any, fixture_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    killed: list[int] = []
    train = RayWorkers.train

    def watched(self: RayWorkers, jobs: Any) -> Any:
        if not killed:
            killed.append(ray.get(self._actors[0].__ray_call__.remote(lambda _: os.getpid())))
            os.kill(killed[0], signal.SIGKILL)
        return train(self, jobs)

    monkeypatch.setattr(RayWorkers, "train", watched)
    found = simulated(fixture_dir, engine="ray", workers=2, rounds=2, cohort=5)
    assert killed
    assert bits(found) == bits(simulated(fixture_dir, rounds=2, cohort=5))
