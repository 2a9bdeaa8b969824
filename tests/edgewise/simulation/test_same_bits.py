"""The simulator computes what the real coordinator and devices compute, to the last bit, whoever does the work."""

from __future__ import annotations

import os
import selectors
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgewise.recipes import defaults, plan
from edgewise.simulation import Result
from edgewise.simulation.data import text_data
from edgewise.simulation.jobs import Setup
from edgewise.simulation.local import LocalWorkers
from edgewise.simulation.run import make_engine
from edgewise.simulation.shared import SharedArray
from edgewise.simulation.worker import Worker
from edgewise_coordinator.settings import RoundSettings, Settings, TrainingSettings
from edgewise_edge.local_training import device_generator, run_to_end, train_locally
from edgewise_edge.next_word import examples_for
from edgewise_edge.trainer import Trainer
from edgewise_wire.artifact import Artifact
from edgewise_wire.errors import RunError
from edgewise_wire.weights import flatten, parameters
from memory_fleet import MemoryFleet
from simulated import bits, people, simulated


def in_memory(folder: Path, fixture_dir: Path, count: int, **options: Any) -> MemoryFleet:
    """Return a finished run of the real coordinator and the real agents over a broker in memory."""
    chosen = plan({**defaults(), **options.pop("recipe", {})})
    settings = Settings(
        "test", 3, RoundSettings(goal=3, over_selection=1.0), TrainingSettings(epochs=2, learning_rate=0.5, **options),
        evaluate_every=1, seed=7, buffer=chosen.buffer,
    )  # fmt: skip
    arguments = {name: value for name, value in chosen.arguments.items() if name != "pace"}
    found = MemoryFleet(folder, fixture_dir / "tiny.tflite", settings, people(count), options=arguments)
    found.run()
    return found


def flat_of(result: Result) -> bytes:
    """Return the trained weights as they travel, read from the trained file."""
    artifact = Artifact.load(result.model)
    return flatten(artifact.weights(), artifact.manifest.weights).tobytes()


@pytest.mark.parametrize(
    "recipe",
    [
        {},
        {"algorithm": "fedprox", "mu": 0.1, "aggregator": "trimmed-mean"},
        {"algorithm": "scaffold", "fleet_size": 5},
        {"algorithm": "fedadam", "norm_bound": 0.05},
    ],
    ids=str,
)
def test_the_weights_are_those_of_the_real_coordinator(
    recipe: dict[str, Any], tmp_path: Path, fixture_dir: Path
) -> None:
    real = in_memory(tmp_path, fixture_dir, 5, recipe=recipe)
    found = simulated(fixture_dir, seed=7, **recipe)
    assert flat_of(found) == real.coordinator.weights.tobytes()


def test_so_they_are_with_encoded_updates(tmp_path: Path, fixture_dir: Path) -> None:
    real = in_memory(tmp_path, fixture_dir, 5, encoding="topk-0.1")
    found = simulated(fixture_dir, seed=7, compress="topk-0.1")
    assert flat_of(found) == real.coordinator.weights.tobytes()
    measured = [row.metrics["loss"] for row in real.rounds if row.kind == "evaluate"]
    assert [row["loss"] for row in found.measured] == pytest.approx(measured, rel=1e-12)


def test_a_round_is_fedavg_by_hand(fixture_dir: Path) -> None:
    found = simulated(fixture_dir, rounds=1, cohort=5, seed=3)
    trainer = Trainer(fixture_dir / "tiny.tflite")
    specs = trainer.manifest.weights
    before = flatten(trainer.get_weights(), specs)
    data, total, new = text_data(people(), trainer.manifest), 0, np.zeros(parameters(specs))
    for number, name in enumerate(data.devices):
        examples = examples_for(data.rows(number, held_out=False), trainer.manifest)
        rng = device_generator(3, 2, name)  # round 1 measured the first version
        work = train_locally(trainer, before, examples, epochs=2, learning_rate=0.5, max_examples=0, rng=rng)
        local = run_to_end(work)
        new += local.examples * (before.astype(np.float64) + local.update)
        total += local.examples
    np.testing.assert_allclose(flatten(found.weights, specs), new / total, atol=1e-6)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"algorithm": "scaffold"},
        {"aggregator": "median"},
        {"compress": "topk-0.1"},
        {"buffer": 2, "fleet": "pi-fleet", "concurrency": 4},
    ],
    ids=str,
)
def test_the_number_of_workers_changes_nothing(options: dict[str, Any], fixture_dir: Path) -> None:
    alone = simulated(fixture_dir, **options)
    both = simulated(fixture_dir, engine="local", workers=2, **options)
    assert bits(alone) == bits(both)
    told = [{name: row[name] for name in row if name != "wall_seconds"} for row in alone.history]
    assert told == [{name: row[name] for name in row if name != "wall_seconds"} for row in both.history]


def test_another_seed_is_another_result(fixture_dir: Path) -> None:
    assert bits(simulated(fixture_dir)) == bits(simulated(fixture_dir))
    assert bits(simulated(fixture_dir)) != bits(simulated(fixture_dir, seed=1))


def test_a_worker_that_is_killed_is_replaced_and_its_devices_are_done_again(
    fixture_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = simulated(fixture_dir, rounds=4, cohort=5)
    started: list[int] = []
    killed: list[int] = []
    take = LocalWorkers.train

    def train(self: LocalWorkers, jobs: Any) -> Any:
        started.extend(self.pids)
        if len(killed) < 2:
            killed.append(self.pids[len(killed)])
            os.kill(killed[-1], signal.SIGKILL)
        return take(self, jobs)

    monkeypatch.setattr(LocalWorkers, "train", train)
    found = simulated(fixture_dir, rounds=4, cohort=5, engine="local", workers=3)
    assert bits(found) == bits(undisturbed)
    assert len(set(started)) == 4


def test_a_worker_killed_after_it_has_summed_counts_nothing_twice(
    fixture_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = simulated(fixture_dir, rounds=1, cohort=5)
    fill = LocalWorkers._fill
    asked: list[int] = []

    def watched(self: LocalWorkers, process: Any, kind: str, todo: Any, extra: Any) -> None:
        fill(self, process, kind, todo, extra)
        if kind == "train" and process.finished and not asked:
            asked.append(process.pid)
            os.kill(process.pid, signal.SIGKILL)

    monkeypatch.setattr(LocalWorkers, "_fill", watched)
    monkeypatch.setattr("edgewise.simulation.pieces.UNKNOWN", 5)  # pieces of one device
    found = simulated(fixture_dir, rounds=1, cohort=5, engine="local", workers=2)
    assert asked
    assert bits(found) == bits(undisturbed)


def test_a_worker_that_dies_again_and_again_ends_the_run(fixture_dir: Path, tmp_path: Path) -> None:
    artifact = Artifact.load(fixture_dir / "tiny.tflite")
    data = text_data(people(), artifact.manifest)
    chosen = plan(defaults())
    setup = Setup(str(fixture_dir / "tiny.tflite"), chosen.algorithm.client, defaults(), TrainingSettings(), 0)
    engine = make_engine("local", setup, data, 2, parameters(artifact.manifest.weights))
    assert isinstance(engine, LocalWorkers)
    start = LocalWorkers._start

    def doomed(self: LocalWorkers, number: int) -> Any:
        made = start(self, number)
        os.kill(made.pid, signal.SIGKILL)
        return made

    try:
        os.kill(engine.pids[0], signal.SIGKILL)
        LocalWorkers._start = doomed  # type: ignore[method-assign]
        with pytest.raises(RunError, match="died 4 times"):
            engine.measure([0], 0)
    finally:
        LocalWorkers._start = start  # type: ignore[method-assign]
        engine.close()


def test_what_becomes_of_the_others_is_no_fault_of_the_device_that_trains_here(
    fixture_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take = LocalWorkers.train

    def train(self: LocalWorkers, jobs: Any) -> Any:
        os.kill(self.pids[0], signal.SIGKILL)
        return take(self, jobs)

    monkeypatch.setattr(LocalWorkers, "train", train)
    monkeypatch.setattr("edgewise.simulation.local.DEATHS_MAX", 0)
    monkeypatch.setattr("edgewise.simulation.local.LISTEN_SECONDS", 0.0)  # the death is met between two batches
    with pytest.raises(RunError, match="died 1 times"):
        simulated(fixture_dir, cohort=5, engine="local", workers=2)


def test_nobody_waits_for_answers_that_came_while_this_process_trained(
    fixture_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take, train, engines = LocalWorkers.train, Worker.train, []

    def watched(self: LocalWorkers, jobs: Any) -> Any:
        engines.append(self)
        return take(self, jobs)

    def until_the_others_are_done(self: Worker, *given: Any) -> Any:
        done = train(self, *given)
        while any(process.pending for process in engines[0]._processes):
            assert self.between is not None
            self.between()
        return done

    def select(self: selectors.DefaultSelector, timeout: float | None = None) -> Any:
        assert timeout is not None or any(process.pending for process in engines[0]._processes)
        return choose(self, timeout)

    choose = selectors.DefaultSelector.select
    monkeypatch.setattr(LocalWorkers, "train", watched)
    monkeypatch.setattr(Worker, "train", until_the_others_are_done)
    monkeypatch.setattr(selectors.DefaultSelector, "select", select)
    monkeypatch.setattr("edgewise.simulation.local.LISTEN_SECONDS", 0.0)
    found = simulated(fixture_dir, cohort=5, engine="local", workers=2, evaluate_every=0)
    monkeypatch.undo()
    assert bits(found) == bits(simulated(fixture_dir, cohort=5, evaluate_every=0))


def test_shared_memory_goes_if_ctrl_c_comes_while_workers_start(
    fixture_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, make, handles = LocalWorkers._start, SharedArray.make, []

    def interrupted(self: LocalWorkers, number: int) -> Any:
        if number:
            raise KeyboardInterrupt
        return start(self, number)

    def noted(*shape: Any) -> SharedArray:
        made = make(*shape)
        handles.append(made.handle)
        return made

    monkeypatch.setattr(LocalWorkers, "_start", interrupted)
    monkeypatch.setattr(SharedArray, "make", noted)
    with pytest.raises(KeyboardInterrupt):
        simulated(fixture_dir, engine="local", workers=3)
    assert handles
    for handle in handles:
        with pytest.raises(FileNotFoundError):
            SharedArray.attach(handle)
